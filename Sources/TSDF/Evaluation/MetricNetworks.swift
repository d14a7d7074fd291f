import Foundation
import Kernels
import Networks

/// What networks say of pictures.
public enum MetricName: String, CaseIterable, Sendable {
  /// How differently two pictures look to people (`LPIPS`).
  case lpips
  /// How alike two faces are, as persons (`IdentityNetwork`).
  case identity
  /// How far two sets of pictures are apart (`InceptionV3`).
  case fid

  /// The weights' name in the models' folder.
  package var weights: String { self == .fid ? "inception" : rawValue }
}

/// Networks that say how alike pictures are; what is nil is not measured.
public struct MetricNetworks {
  /// For the Frechet inception distance of edits.
  public var inception: InceptionV3?
  /// How differently two pictures look to people.
  public var lpips: LPIPS?
  /// Whether two pictures show the same person.
  public var identity: IdentityNetwork?

  /// Networks that are loaded already; with none nothing is measured.
  public init(inception: InceptionV3? = nil, lpips: LPIPS? = nil, identity: IdentityNetwork? = nil) {
    (self.inception, self.lpips, self.identity) = (inception, lpips, identity)
  }

  /// The networks of these metrics.
  /// - Parameters:
  ///   - names: which metrics.
  ///   - file: where a metric's weights are.
  ///   - device: where the networks go.
  /// - Throws: `FileError` where a file is not there or holds no such network.
  public init(_ names: [MetricName], from file: (MetricName) throws -> URL, on device: any Device) throws {
    func state(_ name: MetricName) throws -> StateDictionary? {
      guard names.contains(name) else { return nil }
      let url = try file(name)
      guard FileManager.default.fileExists(atPath: url.path) else {
        throw FileError(url.path, "does not exist; tools/fetch-models gets it")
      }
      return try StateDictionary.read(url, on: device).state
    }
    self.init(
      inception: try state(.fid).map { try InceptionV3($0) }, lpips: try state(.lpips).map { try LPIPS($0) },
      identity: try state(.identity).map { try IdentityNetwork($0) })
  }

  /// Pictures are looked at in batches of this many.
  private static let batch = 16

  /// Inception's features of planes [3, side, side] in [-1, 1]; empty without it.
  func features(_ pictures: [[Float]], side: Int, on device: any Device) throws -> [[Float]] {
    guard let inception else { return [] }
    return try batches(pictures, side: side, on: device) { images in
      let values = try inception(images).values()
      let count = InceptionV3.featureCount
      return (0..<images.shape[0]).map { Array(values[$0 * count..<($0 + 1) * count]) }
    }
  }

  /// The LPIPS distance of each of two lists' pictures; empty without it.
  func distances(_ a: [[Float]], _ b: [[Float]], side: Int, on device: any Device) throws -> [Double] {
    guard let lpips else { return [] }
    return try pairs(a, b, side: side, on: device) { try lpips($0, $1).values() }
  }

  /// The cosine of the identities of each of two lists' faces; empty without it.
  func similarities(_ a: [[Float]], _ b: [[Float]], side: Int, on device: any Device) throws -> [Double] {
    guard let identity else { return [] }
    return try pairs(a, b, side: side, on: device) {
      try IdentityNetwork.similarities(identity($0), identity($1)).values()
    }
  }

  private func pairs(
    _ a: [[Float]], _ b: [[Float]], side: Int, on device: any Device, _ measure: (Tensor, Tensor) throws -> [Float]
  ) throws -> [Double] {
    try batches(Array(zip(a, b)).flatMap { [$0, $1] }, side: side, on: device) { images in
      // The pairs lie side by side.
      let parts = try images.reshaped([-1, 2, 3, side, side])
      func part(_ index: Int) throws -> Tensor {
        try parts.sliced(axis: 1, index..<index + 1).reshaped([-1, 3, side, side])
      }
      return try measure(part(0), part(1)).map(Double.init)
    }
  }

  private func batches<R>(
    _ pictures: [[Float]], side: Int, on device: any Device, _ measure: (Tensor) throws -> [R]
  ) throws -> [R] {
    try stride(from: 0, to: pictures.count, by: Self.batch).flatMap { first in
      let part = pictures[first..<min(first + Self.batch, pictures.count)]
      return try Autograd.withoutRecording {
        try measure(
          Tensor(part.flatMap { $0 }, shape: [part.count, 3, side, side], device: device).clamped(to: -1...1))
      }
    }
  }
}

@available(*, unavailable)
extension MetricNetworks: Sendable {}
