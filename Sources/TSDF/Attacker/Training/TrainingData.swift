import Pictures

/// The faces that a run trains on.
public struct TrainingData: Sendable {
  /// What was collected, then the clean ones mixed in.
  let faces: FaceSet
  /// How many of them are collected.
  let collectedCount: Int
  /// The share of clean ones in what is drawn.
  let cleanShare: Float
  /// Of each collected face the original, before it was protected; nil where it is not known.
  let originals: FaceSet?

  /// - Parameters:
  ///   - faces: collected, labelled.
  ///   - clean: faces of the same size and labels, mixed in with a share of 0 to 1 of what is drawn.
  ///   - cleanShare: the share of clean faces in a batch, 0...1.
  ///   - originals: what `faces` were before they were protected, face by face.
  public init(
    _ faces: FaceSet, clean: FaceSet? = nil, cleanShare: Float = 0, originals: FaceSet? = nil
  ) {
    precondition(originals.map { $0.count == faces.count && $0.size == faces.size } ?? true, "an original a face")
    self.faces = clean.map { faces.joined(with: $0) } ?? faces
    collectedCount = faces.count
    self.cleanShare = clean == nil ? 0 : cleanShare
    self.originals = originals
  }
}
