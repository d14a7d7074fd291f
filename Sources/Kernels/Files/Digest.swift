import CCrypto
import Foundation

/// The SHA-256 of some bytes, 32 bytes long.
public func sha256(_ data: Data) -> Data {
  var digest = Data(count: Int(SHA256_DIGEST_LENGTH))
  digest.withUnsafeMutableBytes { digest in
    data.withUnsafeBytes { bytes in
      _ = SHA256(
        bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count,
        digest.baseAddress?.assumingMemoryBound(to: UInt8.self))
    }
  }
  return digest
}

extension Data {
  /// The bytes as text, two lower-case digits each.
  public var hexadecimal: String { map { String(format: "%02x", $0) }.joined() }
}
