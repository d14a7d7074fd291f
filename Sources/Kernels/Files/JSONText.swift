import Foundation

/// A value as one line of JSON with sorted keys: the same value gives the same text.
package func canonicalJSON(_ value: some Encodable) throws -> String {
  String(decoding: try JSONEncoder.sorted().encode(value), as: UTF8.self)
}

/// JSON for people and machines alike: sorted keys, one value a line.
package func jsonText(_ value: some Encodable) throws -> String {
  String(decoding: try JSONEncoder.sorted(.prettyPrinted).encode(value), as: UTF8.self)
}

// JSON has no words for numbers that are none.
private let (positive, negative, none) = ("infinity", "-infinity", "nan")

extension JSONEncoder {
  /// One that sorts keys; infinities and NaN become strings.
  package static func sorted(_ formatting: OutputFormatting = []) -> JSONEncoder {
    let encoder = JSONEncoder()
    encoder.outputFormatting = formatting.union([.sortedKeys, .withoutEscapingSlashes])
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: positive, negativeInfinity: negative, nan: none)
    return encoder
  }
}

extension JSONDecoder {
  /// One that takes infinities and NaN as `JSONEncoder.sorted` writes them.
  package static func withAllNumbers() -> JSONDecoder {
    let decoder = JSONDecoder()
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: positive, negativeInfinity: negative, nan: none)
    return decoder
  }
}
