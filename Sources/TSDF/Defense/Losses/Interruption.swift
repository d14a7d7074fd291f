import Kernels
import Networks

/// The losses of stage 1 (method section 3): drive a generator's features and outputs away from those of the clean image.
enum Interruption {
  /// Features of all generators on one 32x32 grid, joined over channels and summed: [N, 32, 32].
  static func map(_ features: [Tensor]) throws -> Tensor {
    try Tensor.concatenated(features.map { try $0.resized(height: 32, width: 32) }, axis: 1).sum(axes: [1])
  }

  /// The loss of a feature step: -MSE(A, C) + weight * MSE(enhance(C, A), A).
  static func featureLoss(
    clean: Tensor, adversarial: Tensor, enhancement: Float, temperature: Float, strength: Float
  ) throws -> Tensor {
    let distance = try -adversarial.meanSquaredError(to: clean)
    guard enhancement != 0 else { return distance }
    let enhanced = try enhance(clean, adversarial, temperature: temperature, strength: strength)
    return try distance + enhanced.meanSquaredError(to: adversarial) * enhancement
  }

  /// One generator's end-to-end loss: `outputShare` of the outputs' distance and the rest of the features', negative.
  static func endToEndLoss(clean: GeneratorOutput, adversarial: GeneratorOutput, outputShare: Float) throws -> Tensor {
    let output = try adversarial.image.meanSquaredError(to: clean.image)
    let feature = try adversarial.feature.resized(height: 32, width: 32)
      .meanSquaredError(to: clean.feature.resized(height: 32, width: 32))
    return try -(output * outputShare + feature * (1 - outputShare))
  }

  /// Contrast enhancement of the adversarial map A against the clean map C, both [N, 32, 32] (method section 3).
  static func enhance(_ clean: Tensor, _ adversarial: Tensor, temperature: Float, strength: Float) throws
    -> Tensor
  {
    func statistics(_ x: Tensor) throws -> (mean: Tensor, deviation: Tensor) {
      let mean = try x.mean(axes: [1], keepingAxes: true)
      let variance = try (x - mean).squared().mean(axes: [1], keepingAxes: true)
      return (mean, try (variance + 1e-6).sqrt())
    }
    let (cleanMean, cleanDeviation) = try statistics(clean)
    let (mean, deviation) = try statistics(adversarial)
    let normalClean = try (clean - cleanMean) / cleanDeviation
    let normal = try (adversarial - mean) / deviation
    let local = try normal - normalClean
    let global = try (mean - cleanMean) / cleanDeviation
    let structure = try attended(normal) - attended(normalClean)
    func gated(_ difference: Tensor) throws -> Tensor {
      try difference * difference.abs().mean(axes: [1, 2], keepingAxes: true).sigmoid()
    }
    let sum = try gated(local) + gated(global) + gated(structure)
    // The exponent is bounded: a large difference would overflow it.
    let gain = try (sum.abs().mean(axes: [1, 2], keepingAxes: true) / temperature).clamped(to: 0...5).exp()
    let boosted = try normal + sum * gain * strength
    let (boostedMean, boostedDeviation) = try statistics(boosted)
    return try (boosted - boostedMean) / boostedDeviation * deviation + mean
  }

  /// Self-attention among the samples of a batch: softmax(F F^T / sqrt d) F over flattened maps.
  private static func attended(_ maps: Tensor) throws -> Tensor {
    let flat = try maps.reshaped([maps.shape[0], -1])
    let weights = try (flat.matrixMultiplied(by: flat, transposingOther: true) / Float(flat.shape[1]).squareRoot())
      .softmax(axis: 1)
    return try weights.matrixMultiplied(by: flat).reshaped(maps.shape)
  }
}
