import Kernels

/// What an attacker takes off a picture because other protected pictures have it too: perturbations that are alike give themselves
/// away. Pictures' residuals are what a blur takes off them, their coarse content left out.
enum CommonResidual {
  /// The standard deviation, in pixels, of the blur that leaves what faces have in common, and no perturbation.
  private static let coarseness: Float = 2
  /// Iterations of the power method: of a few dozen pictures the first component stands out far sooner, or there is none.
  private static let iterations = 100

  /// Images [N, 3, H, W] without the mean of others' residuals [M, 3, H, W].
  static func mean(takenOff images: Tensor, of others: Tensor) throws -> Tensor {
    try (images - residuals(of: others.mean(axes: [0], keepingAxes: true))).clamped(to: -1...1)
  }

  /// Images [N, 3, H, W] without their own share of the first principal component of others' residuals [M, 3, H, W], which has no
  /// sign: it finds a perturbation that is added to some pictures and subtracted from others too. Residuals are not centred.
  static func principalComponent(takenOff images: Tensor, of others: Tensor) throws -> Tensor {
    let rows = try residuals(of: others).reshaped([others.shape[0], -1])
    let gram = try rows.matrixMultiplied(by: rows, transposingOther: true).values()
    let weights = try Tensor(
      firstEigenvector(gram, count: others.shape[0]), shape: [1, others.shape[0]], device: images.device)
    let component = try weights.matrixMultiplied(by: rows)
    let own = try residuals(of: images).reshaped([images.shape[0], -1])
    let shares = try (own * component).sum(axes: [1], keepingAxes: true) / (component.squared().sum() + 1e-12)
    return try (images - (shares * component).reshaped(images.shape)).clamped(to: -1...1)
  }

  private static func residuals(of images: Tensor) throws -> Tensor {
    var unused = RandomStream(seed: 0)
    return try images - BlurPurifier(coarseness)(images, random: &unused)
  }

  /// Of a symmetric matrix without negative eigenvalues, in rows, by the power method.
  private static func firstEigenvector(_ matrix: [Float], count: Int) -> [Float] {
    // No start is at right angles to the eigenvector by symmetry.
    var vector = (0..<count).map { 1 + Float($0) / Float(count) }
    for _ in 0..<iterations {
      let next = (0..<count).map { row in
        (0..<count).reduce(Float(0)) { $0 + matrix[row * count + $1] * vector[$1] }
      }
      let length = next.reduce(0) { $0 + $1 * $1 }.squareRoot()
      guard length > 0 else { break }
      vector = next.map { $0 / length }
    }
    return vector
  }
}
