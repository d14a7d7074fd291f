import Pictures

/// A picture that protections are judged on, 8-bit RGB. Detectors look at all of it; generators are given what an attacker
/// would cut out for them.
public struct JudgedPhoto: Sendable {
  /// How it is called in reports.
  public let name: String
  /// The picture, upright, 8-bit RGB.
  public let image: Image
  /// The squares of its faces.
  public let faces: [Box]
  private let attributes: [String]
  private let labels: [Float]

  /// - Parameters:
  ///   - image: the photo, upright.
  ///   - name: how it is called in reports.
  ///   - faces: squares at whole pixels within the picture.
  ///   - attributes: the names of what is known of the faces.
  ///   - labels: 0 or 1 for each of these names.
  public init(_ image: Image, name: String, faces: [Box], attributes: [String], labels: [Float]) {
    (self.image, self.name, self.faces) = (image, name, faces)
    (self.attributes, self.labels) = (attributes, labels)
  }

  /// What is known of its faces, by name; nothing where a name is not.
  public func labels(named names: [String]) -> [Float] { selectLabels(labels, of: attributes, named: names) }
}
