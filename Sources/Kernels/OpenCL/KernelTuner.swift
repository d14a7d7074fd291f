import Foundation

/// Measures candidates for a device's kernel parameters and convolution algorithms, keeps what is fastest among those whose
/// results are right, and stores it for the next time the device is opened.
package struct KernelTuner {
  /// One measured choice.
  package struct Finding: Sendable {
    /// What was chosen, for people.
    package let choice: String
    /// The time that it took, and that the device's present value takes, in seconds.
    package let seconds: Double, before: Double
  }

  private let info: OpenCLDeviceInfo
  private let isProcessor: Bool
  private let shapes: [Convolution]
  private var best: KernelParameters

  /// - Parameter device: a device that is open; other contexts on it are made for the candidates.
  package init(_ device: OpenCLDevice) { self.init(device, shapes: Self.modelShapes) }

  /// - Parameter shapes: the convolutions whose algorithms are chosen; the first two choose the rest, vectors with the next two.
  package init(_ device: OpenCLDevice, shapes: [Convolution]) {
    info = device.info
    self.shapes = shapes
    isProcessor = device.isCPU
    best = KernelParameters(for: device.info, isProcessor: device.isCPU)
  }

  /// [N, C, H, W], [out, C, k, k], stride, padding.
  package typealias Convolution = ([Int], [Int], Int, Int)

  /// Those of the generators and detectors here: the generators' inner ones first, then their first and last.
  private static let modelShapes: [Convolution] = [
    ([1, 256, 64, 64], [256, 256, 3, 3], 1, 1), ([1, 64, 256, 256], [128, 64, 4, 4], 2, 1),
    ([1, 64, 256, 256], [3, 64, 7, 7], 1, 3), ([1, 3, 256, 256], [64, 3, 7, 7], 1, 3),
    ([1, 128, 128, 128], [256, 128, 4, 4], 2, 1), ([16, 64, 32, 32], [64, 64, 3, 3], 1, 1),
    ([16, 64, 16, 16], [128, 64, 4, 4], 2, 1), ([16, 256, 8, 8], [512, 256, 4, 4], 2, 1),
    ([1, 64, 135, 240], [32, 64, 3, 3], 1, 1), ([1, 16, 68, 120], [16, 16, 3, 3], 1, 1),
    ([1, 10, 320, 570], [16, 10, 3, 3], 1, 0), ([1, 64, 34, 60], [64, 64, 3, 3], 1, 1),
  ]

  /// Tunes and stores.
  /// - Parameter report: gets every choice as it is made.
  /// - Returns: the file, or nil where nothing is kept (an empty TSDF_CACHE).
  package mutating func run(report: (Finding) -> Void) throws -> URL? {
    try run(keptIn: cacheDirectory(), report: report)
  }

  /// - Parameter folder: where what was found is stored; nil for nowhere.
  package mutating func run(keptIn folder: URL?, report: (Finding) -> Void) throws -> URL? {
    let (heavy, large) = (Array(shapes.prefix(2)), Array(shapes.dropFirst(2).prefix(2)))
    try choose("elements a work-item", \.run, [1, 16], report, elementwise)
    if isProcessor {
      try choose("floats of a vector", \.vectorLanes, [8, 16], report, convolutions(large + heavy))
      try choose("column panels", \.columnPanels, [2, 4, 8], report, convolutions(heavy))
      try choose("tiles a work-item", \.lanes, [1, 16], report, convolutions(heavy))
    } else {
      let possible = KernelParameters.tileSizes(upTo: info.maxWorkGroupSize)
      try choose("work-items of a tile", \.tileItems, possible, report, convolutions(heavy))
      let groups = [1, 2, 4, 8].map { $0 * info.computeUnits }
      try choose("work-groups of a product", \.tiledGroups, groups, report, convolutions(heavy))
    }
    try choose(
      "floats in flight", \.winogradScratch, [1, 2, 4, 8, 32].map { $0 << 20 }, report, convolutions(heavy))
    for convolution in shapes { try chooseAlgorithm(convolution, report) }
    return try TuningStore(device: info, isProcessor: isProcessor, folder: folder).store(best)
  }

  private typealias Workload = (OpenCLDevice) throws -> [Tensor]

  private mutating func choose(
    _ name: String, _ field: WritableKeyPath<KernelParameters, Int>, _ candidates: [Int], _ report: (Finding) -> Void,
    _ workload: Workload
  ) throws {
    let present = best[keyPath: field]
    let reference = try measure(best, workload)
    var winner = (value: present, seconds: reference.seconds)
    for value in candidates where value != present {
      var parameters = best
      parameters[keyPath: field] = value
      // A candidate that does not build or run here is no candidate.
      guard let found = try? measure(parameters, workload), agrees(found.results, reference.results) else { continue }
      if found.seconds < winner.seconds * 0.97 { winner = (value, found.seconds) }
    }
    best[keyPath: field] = winner.value
    report(Finding(choice: "\(name): \(winner.value)", seconds: winner.seconds, before: reference.seconds))
  }

  private mutating func chooseAlgorithm(_ convolution: Convolution, _ report: (Finding) -> Void) throws {
    let (x, w, stride, padding) = convolution
    let geometry = Conv2dGeometry(
      batch: x[0], channels: x[1], height: x[2], width: x[3], outChannels: w[0], kernelHeight: w[2],
      kernelWidth: w[3], stride: stride, padding: padding, dilation: 1, groups: 1)
    let workload = convolutions([convolution])
    let reference = try measure(best, workload)
    var winner: (algorithm: ConvolutionAlgorithm?, seconds: Double) = (nil, reference.seconds)
    let present = best.algorithm(for: geometry)
    for algorithm in best.possibleAlgorithms(for: geometry) where algorithm != present {
      var parameters = best
      parameters.algorithms[ConvolutionShape(geometry)] = algorithm
      guard let found = try? measure(parameters, workload), agrees(found.results, reference.results) else { continue }
      if found.seconds < winner.seconds * 0.97 { winner = (algorithm, found.seconds) }
    }
    if let algorithm = winner.algorithm { best.algorithms[ConvolutionShape(geometry)] = algorithm }
    let choice = winner.algorithm?.rawValue ?? "as by rule"
    report(Finding(choice: "conv \(x) * \(w): \(choice)", seconds: winner.seconds, before: reference.seconds))
  }

  /// The shortest of several runs by event time, and the results.
  private func measure(_ parameters: KernelParameters, _ workload: Workload) throws -> (
    seconds: Double, results: [[Float]]
  ) {
    let device = try OpenCLDevice(info, parameters: parameters)
    let results = try workload(device).map { try $0.values() }
    var shortest = Double.infinity
    for _ in 0..<5 {
      let profiler = KernelProfiler()
      device.profiler = profiler
      _ = try workload(device)
      try device.synchronize()
      shortest = min(shortest, profiler.entries.values.reduce(0) { $0 + $1.seconds })
    }
    return (shortest, results)
  }

  private func agrees(_ a: [[Float]], _ b: [[Float]]) -> Bool {
    zip(a, b).allSatisfy { a, b in
      var (difference, size) = (0.0, 0.0)
      for (u, v) in zip(a, b) {
        difference += Double(u - v) * Double(u - v)
        size += Double(v) * Double(v)
      }
      return difference <= 1e-9 * size
    }
  }

  private func elementwise(_ device: OpenCLDevice) throws -> [Tensor] {
    var random = RandomStream(seed: 1)
    let x = try random.uniform([1, 32, 256, 250], in: -1..<1, device: device)
    let scale = try random.uniform([32, 1, 1], in: -1..<1, device: device)
    return [try x * scale + x, try x.permuted([0, 2, 3, 1]), try x.maxPooled(size: 2)]
  }

  /// Forward and both gradients of some convolutions.
  private func convolutions(_ shapes: [Convolution]) -> Workload {
    { device in
      var random = RandomStream(seed: 2)
      return try shapes.flatMap { input, weight, stride, padding -> [Tensor] in
        let x = try random.uniform(input, in: -1..<1, device: device).requiringGradient()
        let w = try random.uniform(weight, in: -1..<1, device: device).requiringGradient()
        let y = try x.convolved(with: w, stride: stride, padding: padding)
        return [y.detached()] + (try gradients(of: y, withRespectTo: [x, w]))
      }
    }
  }
}

@available(*, unavailable)
extension KernelTuner: Sendable {}
