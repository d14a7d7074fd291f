// A first tensor, its gradient, and the gradient of that gradient.
import Kernels

let device = try selectDevice().device
let x = try Tensor([1, 2, 3], shape: [3], device: device).requiringGradient()
let y = try (x * x * x).sum()
let first = try gradients(of: y, withRespectTo: [x], createGraph: true)[0]
let second = try gradients(of: first.sum(), withRespectTo: [x])[0]
print(try y.values(), try first.values(), try second.values())

// A step of gradient descent on a convolution's weight, so that its output becomes 1.
var random = RandomStream(seed: 1)
let images = try random.normal([2, 3, 8, 8], device: device)
var weight = try random.normal([4, 3, 3, 3], device: device)

func loss(_ weight: Tensor, on images: Tensor) throws -> Tensor {
  let output = try images.convolved(with: weight, padding: 1, activation: .leakyReLU(0.1))
  return try (output - 1).squared().mean()
}

let before = try loss(weight, on: images).values()[0]
for _ in 0..<20 {
  let tracked = weight.requiringGradient()
  let gradient = try gradients(of: loss(tracked, on: images), withRespectTo: [tracked])[0]
  weight = try weight - gradient * 0.1
}
let after = try loss(weight, on: images).values()[0]
print("loss \(before) -> \(after)")
