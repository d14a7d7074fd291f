import Networks
import Pictures

/// How a face comes to lie in its crop.
package enum FaceAlignment: Sendable {
  /// Where eyes, nose and corners of the mouth of an upright face lie in the square of its box's longer side, as shares
  /// of that side from the top left corner: RetinaFace's landmarks on 200 portraits, averaged, and then with their
  /// mirror images.
  static let template = [
    Point(x: 0.299, y: 0.292), Point(x: 0.701, y: 0.292), Point(x: 0.5, y: 0.525), Point(x: 0.323, y: 0.693),
    Point(x: 0.677, y: 0.693),
  ]

  /// The template in a crop of `size` pixels a side whose margin is `margin` times the box, in pixels.
  package static func template(margin: Float, size: Int) -> [Point] {
    func place(_ share: Float) -> Float { (0.5 + (share - 0.5) / margin) * Float(size) }
    return template.map { Point(x: place($0.x), y: place($0.y)) }
  }

  /// What brings a face into its crop: its landmarks onto the template if asked and there are any, else the square
  /// around its box.
  package static func transform(for face: Detection, _ settings: PreparationSettings) -> SimilarityTransform {
    let side = max(1, max(face.box.width, face.box.height) * settings.margin)
    let plain = SimilarityTransform(
      square: Box(centerX: face.box.centerX, centerY: face.box.centerY, width: side, height: side), side: settings.size)
    guard settings.align, face.landmarks.count == template.count,
      let aligned = SimilarityTransform(
        from: face.landmarks, to: template(margin: settings.margin, size: settings.size))
    else { return plain }
    // Landmarks that would make the face half or twice the size of its box are none of a face's.
    return (0.5...2).contains(aligned.scale / plain.scale) ? aligned : plain
  }
}
