import Foundation
import Kernels
import Networks

/// What `tsdf bench kernels` measures: families of kernels at the models' shapes, whole steps, detectors.
struct KernelBench {
  struct Row: Encodable {
    var name: String
    var seconds: Double
    /// Useful work: 10^9 operations or bytes a second, whichever bounds the operation.
    var rate: Double, unit: String
    /// The rate over the measured peak; Winograd's may exceed 1. Absent on the CPU fallback.
    var share: Double?
  }

  /// The device's; nil on the CPU fallback.
  let peaks: DevicePeaks?
  private(set) var rows: [Row] = []
  private let device: any Device
  private let runs: Int
  private var random = RandomStream(seed: 1)

  /// - Parameter runs: counted runs of each; the shortest is kept.
  init(on device: any Device, runs: Int) throws {
    (self.device, self.runs) = (device, runs)
    peaks = try (device as? OpenCLDevice)?.measurePeaks()
  }

  /// StarGAN's at 256x256, width 64: forward, and the gradients; and a matrix product.
  mutating func measureConvolutions() throws {
    let convolutions: [(String, [Int], [Int], Int, Int)] = [
      ("conv 7x7 8-64 256", [1, 8, 256, 256], [64, 8, 7, 7], 1, 3),
      ("conv 4x4/2 64-128 256", [1, 64, 256, 256], [128, 64, 4, 4], 2, 1),
      ("conv 4x4/2 128-256 128", [1, 128, 128, 128], [256, 128, 4, 4], 2, 1),
      ("conv 3x3 256-256 64", [1, 256, 64, 64], [256, 256, 3, 3], 1, 1),
      ("conv 7x7 64-3 256", [1, 64, 256, 256], [3, 64, 7, 7], 1, 3),
    ]
    for (name, inputShape, weightShape, stride, padding) in convolutions {
      let x = try normal(inputShape).requiringGradient()
      let w = try normal(weightShape).requiringGradient()
      let y = try x.convolved(with: w, stride: stride, padding: padding)
      let flops = 2 * y.count * weightShape.dropFirst().reduce(1, *)
      try arithmetic("\(name) forward", flops: flops) {
        _ = try x.detached().convolved(with: w.detached(), stride: stride, padding: padding)
      }
      let upstream = try normal(y.shape)
      for (kind, target) in [("input gradient", x), ("weight gradient", w)] {
        try arithmetic("\(name) \(kind)", flops: flops) {
          _ = try gradients(of: y, withRespectTo: [target], seed: upstream, createGraph: true)
        }
      }
    }
    let (a, b) = (try normal([1024, 1024]), try normal([1024, 1024]))
    try arithmetic("matrix 1024", flops: 2 << 30) { _ = try a.matrixMultiplied(by: b) }
  }

  /// What memory bounds.
  mutating func measureBandwidth() throws {
    let x = try normal([1, 64, 256, 256])
    let (gamma, beta) = (try normal([64]), try normal([64]))
    try bandwidth("instance norm + ReLU 64x256x256", bytes: x.count * 8) {
      _ = try x.instanceNormalized(gamma: gamma, beta: beta, activation: .relu)
    }
    try bandwidth("add 64x256x256", bytes: x.count * 12) { _ = try x + x }
    try bandwidth("ReLU 64x256x256", bytes: x.count * 8) { _ = try x.relu() }
    try bandwidth("sum 64x256x256", bytes: x.count * 4) { _ = try x.sum() }
    try bandwidth("max pool 2 64x256x256", bytes: x.count * 5) { _ = try x.maxPooled(size: 2) }
    try bandwidth("resize to 96 64x256x256", bytes: x.count * 4) {
      _ = try x.resized(height: 96, width: 96, mode: .area)
    }
  }

  /// StarGAN's whole passes.
  mutating func measureStarGAN() throws {
    let generator = try StarGANGenerator(
      attributes: ["a", "b", "c", "d", "e"], imageSize: 256, seed: 1, device: device)
    let image = try random.uniform([1, 3, 256, 256], in: -1..<1, device: device)
    let condition = Condition(try Tensor([1, 0, 1, 0, 0], shape: [1, 5], device: device))
    let flops = 80_000_000_000  // of the convolutions, counted by layer
    try arithmetic("StarGAN 256 forward", flops: flops) { _ = try generator(image, condition: condition) }
    try arithmetic("StarGAN 256 gradient step", flops: 2 * flops) {
      let leaf = image.requiringGradient()
      _ = try gradients(of: generator(leaf, condition: condition).image.squared().mean(), withRespectTo: [leaf])
    }
  }

  /// Detectors on a photo.
  mutating func measure(_ detectors: [(name: String, detector: any FaceDetector)]) throws {
    let photo = try random.uniform([1, 3, 1080, 1920], in: -1..<1, device: device)
    for (name, detector) in detectors {
      let seconds = try shortest { _ = try detector.detect(photo, threshold: defaultDetectionThreshold) }
      rows.append(Row(name: "\(name) 1920x1080", seconds: seconds, rate: 1 / seconds, unit: "images/s", share: nil))
    }
  }

  private mutating func normal(_ shape: [Int]) throws -> Tensor { try random.normal(shape, device: device) }

  private mutating func arithmetic(_ name: String, flops: Int, _ body: () throws -> Void) throws {
    let seconds = try shortest(body)
    let rate = Double(flops) / seconds * 1e-9
    rows.append(
      Row(name: name, seconds: seconds, rate: rate, unit: "GFLOP/s", share: peaks.map { rate / $0.gigaflops }))
  }

  private mutating func bandwidth(_ name: String, bytes: Int, _ body: () throws -> Void) throws {
    let seconds = try shortest(body)
    let rate = Double(bytes) / seconds * 1e-9
    rows.append(Row(name: name, seconds: seconds, rate: rate, unit: "GB/s", share: peaks.map { rate / $0.gigabytes }))
  }

  /// Device time by events where there are any, else the host's clock; the shortest of the runs, after a warm-up.
  private func shortest(_ body: () throws -> Void) throws -> Double {
    try body()
    try device.synchronize()
    let openCL = device as? OpenCLDevice
    var shortest = Double.infinity
    for _ in 0..<runs {
      let profiler = openCL.map { _ in KernelProfiler() }
      openCL?.profiler = profiler
      let start = DispatchTime.now().uptimeNanoseconds
      try body()
      try device.synchronize()
      let host = Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9
      openCL?.profiler = nil
      shortest = min(shortest, profiler.map { $0.entries.values.reduce(0) { $0 + $1.seconds } } ?? host)
    }
    return shortest
  }
}
