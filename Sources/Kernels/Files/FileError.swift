import Foundation

/// A file that is not what it should be: which file, what is wrong, what to do.
public struct FileError: Error, CustomStringConvertible {
  public let path: String
  public let message: String

  public init(_ path: String, _ message: String) {
    (self.path, self.message) = (path, message)
  }

  public var description: String { "\(path): \(message)" }
}

/// A system error in its own words ("No space left on device") rather than the framework's.
package func plainReason(_ error: any Error) -> String {
  let underlying = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError ?? error as NSError
  return underlying.domain == NSPOSIXErrorDomain
    ? String(cString: strerror(Int32(underlying.code))) : error.localizedDescription
}
