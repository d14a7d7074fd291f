import Foundation
import SystemPackage

/// A path as JSON holds it: text or, where its bytes are not UTF-8, `{"base64": BYTES}`.
package struct RecordedPath: Hashable, Sendable {
  package var path: FilePath

  package init(_ path: FilePath) { self.path = path }
}

extension RecordedPath: Codable {
  private enum Key: CodingKey { case base64 }

  package init(from decoder: any Decoder) throws {
    if let text = try? decoder.singleValueContainer().decode(String.self) {
      path = FilePath(bytes: text.utf8)
    } else {
      path = FilePath(bytes: try decoder.container(keyedBy: Key.self).decode(Data.self, forKey: .base64))
    }
  }

  package func encode(to encoder: any Encoder) throws {
    if let text = String(validating: path) {
      var container = encoder.singleValueContainer()
      try container.encode(text)
    } else {
      var container = encoder.container(keyedBy: Key.self)
      try container.encode(Data(path.bytes), forKey: .base64)
    }
  }
}
