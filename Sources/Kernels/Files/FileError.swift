import Foundation
import SystemPackage

/// A file that is not what it should be: which file, what is wrong, what to do.
public struct FileError: Error, CustomStringConvertible {
  /// The file, or what stands for it where there is none.
  public let path: String
  /// What is wrong with it, without its path.
  public let message: String

  /// - Parameter message: what is wrong with the file, without its path.
  package init(_ path: String, _ message: String) {
    (self.path, self.message) = (path, message)
  }

  /// The same of a path that may be of any bytes.
  package init(_ path: FilePath, _ message: String) {
    self.init(path.shown, message)
  }

  /// Path and message, as a terminal may show them: control characters are spelled out.
  public var description: String { "\(path.shown): \(message.shown)" }
}

/// A system error in its own words ("No space left on device") rather than the framework's.
package func plainReason(_ error: any Error) -> String {
  if let error = error as? Errno { return error.description }
  let underlying = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError ?? error as NSError
  return underlying.domain == NSPOSIXErrorDomain
    ? String(cString: strerror(Int32(underlying.code))) : error.localizedDescription
}
