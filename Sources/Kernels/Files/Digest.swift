import CCrypto
import Foundation
import SystemPackage

/// The SHA-256 of some bytes, 32 bytes long.
package func sha256(_ data: Data) -> Data {
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

/// The SHA-256 of bytes that come piece by piece.
package final class RunningDigest {
  private let context = EVP_MD_CTX_new()

  package init() { EVP_DigestInit_ex(context, EVP_sha256(), nil) }

  deinit { EVP_MD_CTX_free(context) }

  package func update(_ bytes: UnsafeRawBufferPointer) { EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) }

  /// The digest of all that came, as text.
  package func finish() -> String {
    var digest = Data(count: Int(SHA256_DIGEST_LENGTH))
    digest.withUnsafeMutableBytes {
      _ = EVP_DigestFinal_ex(context, $0.baseAddress?.assumingMemoryBound(to: UInt8.self), nil)
    }
    return digest.hexadecimal
  }
}

/// The SHA-256 of an open file's bytes from the first on, as text, in little memory.
/// - Parameter count: how many of them, as far as they are there.
/// - Throws: `Errno`.
package func sha256(of file: FileDescriptor, first count: Int = .max) throws -> String {
  let digest = RunningDigest()
  try file.forEachPiece(first: count) { digest.update($0) }
  return digest.finish()
}

extension FileDescriptor {
  /// Calls `body` with the file's bytes, piece by piece.
  func forEachPiece(first count: Int = .max, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: min(count, 1 << 20), alignment: 16)
    defer { buffer.deallocate() }
    var offset = 0
    while offset < count {
      let room = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, count - offset)])
      let length = try read(fromAbsoluteOffset: Int64(offset), into: room)
      guard length > 0 else { return }
      try body(UnsafeRawBufferPointer(rebasing: room[..<length]))
      offset += length
    }
  }
}

extension Data {
  /// The bytes as text, two lower-case digits each.
  package var hexadecimal: String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  /// The first eight bytes as a number, the highest first: of a digest, a number that follows from what it is of.
  package var leadingNumber: UInt64 { prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }
}
