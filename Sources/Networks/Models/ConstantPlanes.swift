import Kernels

extension Tensor {
  /// The convolution of these images [N, C, H, W] joined with constant planes, one of height and width of the images for
  /// each value of `constants` [N, K], by a weight [out, C + K, k, k] with k odd and padding k / 2.
  ///
  /// What constant planes add depends only on how much of the kernel hangs over which border, k times k cases: those
  /// are convolved once, and spread over the image, instead of K whole planes.
  func convolved(with weight: Tensor, joining constants: Tensor) throws -> Tensor {
    let (side, count) = (weight.shape[2], constants.shape[1])
    let (border, height, width) = (side / 2, shape[2], shape[3])
    guard height >= side, width >= side else {
      let planes = try constants.reshaped(constants.shape + [1, 1]).broadcast(to: constants.shape + [height, width])
      return try Tensor.concatenated([self, planes], axis: 1).convolved(with: weight, padding: border)
    }
    let own = try convolved(with: weight.sliced(axis: 1, 0..<shape[1]), padding: border)
    let cases = try constants.reshaped(constants.shape + [1, 1]).broadcast(to: constants.shape + [side, side])
      .convolved(with: weight.sliced(axis: 1, shape[1]..<shape[1] + count), padding: border)
    return try own.adding(spread: cases)
  }
}
