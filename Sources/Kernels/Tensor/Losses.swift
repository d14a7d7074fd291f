extension Tensor {
  /// Mean squared difference from `target` (broadcasting).
  public func meanSquaredError(to target: Tensor) throws -> Tensor { try (self - target).squared().mean() }

  /// Mean absolute difference from `target` (broadcasting).
  public func meanAbsoluteError(to target: Tensor) throws -> Tensor { try (self - target).abs().mean() }

  /// Mean binary cross-entropy of these logits against targets in [0, 1] of the same shape.
  public func binaryCrossEntropy(withTarget target: Tensor) throws -> Tensor {
    try (softplus() - self * target).mean()
  }

  /// Mean cross-entropy of these logits [N, classes] against class numbers.
  public func crossEntropy(withClasses classes: [Int]) throws -> Tensor {
    guard rank == 2, classes.count == shape[0], classes.allSatisfy({ $0 >= 0 && $0 < shape[1] }) else {
      throw KernelsError.shape(operation: "cross entropy", "\(classes.count) classes do not fit logits \(shape)")
    }
    let picked = try reshaped([count, 1]).gatheringRows(classes.enumerated().map { $0 * shape[1] + $1 })
    return try (logSumExp(axis: 1) - picked.reshaped([shape[0]])).mean()
  }
}
