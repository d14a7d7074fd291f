import Foundation
import SystemPackage

extension String {
  /// The text as a terminal may show it: control characters, and those that turn the direction of writing, are spelled out.
  package var shown: String { Kernels.shown(utf8) }
}

extension FilePath {
  /// The path's bytes, which need not be UTF-8.
  package var bytes: [UInt8] { withPlatformString { Array(UnsafeRawBufferPointer(start: $0, count: length)) } }

  /// The SHA-256 of the path's bytes.
  package var digest: Data { sha256(Data(bytes)) }

  /// A path of these bytes, up to the first that is 0.
  package init(bytes: some Sequence<UInt8>) {
    self = (bytes.map { CChar(bitPattern: $0) } + [0]).withUnsafeBufferPointer {
      FilePath(platformString: $0.baseAddress!)
    }
  }

  /// The path with more text at the end of its last component.
  package func appending(text: String) -> FilePath { FilePath(bytes: bytes + text.utf8) }

  /// A path of one component.
  package init(_ component: Component) { self.init(root: nil, [component]) }

  /// The path as text: as it is where its bytes are UTF-8, else as `shown`.
  package var text: String { String(validating: self) ?? shown }

  /// The path as a terminal may show it: bytes that are not UTF-8, and control characters, are spelled out.
  package var shown: String { Kernels.shown(bytes) }
}

private func shown(_ bytes: some Collection<UInt8>) -> String {
  var result = ""
  var (rest, parser) = (bytes.makeIterator(), Unicode.UTF8.ForwardParser())
  var position = bytes.startIndex
  while true {
    switch parser.parseScalar(from: &rest) {
    case .emptyInput: return result
    case .valid(let encoded):
      result += spelled(Unicode.UTF8.decode(encoded))
      position = bytes.index(position, offsetBy: encoded.count)
    case .error(let length):
      let next = bytes.index(position, offsetBy: length)
      for byte in bytes[position..<next] { result += "\\x" + hexadecimal(byte) }
      position = next
    }
  }
}

private func spelled(_ scalar: Unicode.Scalar) -> String {
  switch scalar {
  case "\n": return "\\n"
  case "\r": return "\\r"
  case "\t": return "\\t"
  case "\u{200E}", "\u{200F}", "\u{202A}"..."\u{202E}", "\u{2066}"..."\u{2069}": break
  default:
    switch scalar.properties.generalCategory {
    case .control, .lineSeparator, .paragraphSeparator: break
    default: return String(scalar)
    }
  }
  return scalar.isASCII ? "\\x" + hexadecimal(UInt8(scalar.value)) : "\\u{\(String(scalar.value, radix: 16))}"
}

private func hexadecimal(_ byte: UInt8) -> String { (byte < 16 ? "0" : "") + String(byte, radix: 16) }
