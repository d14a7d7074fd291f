import Foundation
import Kernels
import TestSupport
import XCTest

/// Device memory is reused and returned, and gradients keep no more of it than they need.
final class MemoryTests: XCTestCase {
  func testMemoryIsReusedAndReturned() throws {
    for device in try testDevices() {
      do {
        var random = RandomStream(seed: 1)
        let w = try random.normal([8, 8, 3, 3], device: device).requiringGradient()
        func step() throws {
          let x = try random.normal([2, 8, 320, 320], device: device)
          let loss = try x.convolved(with: w, padding: 1).relu().squared().mean()
          _ = try gradients(of: loss, withRespectTo: [w])[0].values()
        }
        for _ in 0..<3 { try step() }
        let held = device.memory.current
        for _ in 0..<20 { try step() }
        XCTAssertEqual(device.memory.current, held, "memory grows on \(device.name)")
      }
      device.trim()
      XCTAssertEqual(device.memory.current, 0, device.name)
    }
  }

  /// A loss after 16 layers of convolution and norm, each of which keeps 256 KiB for its gradient, and the weights.
  /// - Parameter length: of segments, where the device is to recompute.
  private func chainOfNorms(on device: any Device, segments length: Int? = nil) throws -> (
    loss: Tensor, weights: [Tensor]
  ) {
    var random = RandomStream(seed: 5)
    let weights = try (0..<16).map { _ in try random.normal([4, 4, 1, 1], device: device).requiringGradient() }
    let (gamma, beta) = (try random.normal([4], device: device), try random.normal([4], device: device))
    var x = try random.normal([1, 4, 128, 128], device: device)
    for first in stride(from: 0, to: 16, by: length ?? 1) {
      x = try Autograd.recomputing(length != nil) {
        try Autograd.segment { [x] in
          try weights[first..<first + (length ?? 1)].reduce(x) {
            try $0.convolved(with: $1).instanceNormalized(gamma: gamma, beta: beta, activation: .relu)
          }
        }
      }
    }
    return (try x.squared().mean(), weights)
  }

  /// Segments of four layers keep four activations, and four more while one of them is computed again: the same gradients
  /// within half of the memory.
  func testSegmentsAreRecomputed() throws {
    func weightGradients(on device: any Device, segments: Int?) throws -> [[Float]] {
      let (loss, weights) = try chainOfNorms(on: device, segments: segments)
      return try gradients(of: loss, withRespectTo: weights).map { try $0.values() }
    }
    XCTAssertThrowsError(try weightGradients(on: CPUDevice(memoryLimit: 16 * 256 << 10), segments: nil))
    XCTAssertEqual(
      try weightGradients(on: CPUDevice(memoryLimit: 16 * 256 << 10), segments: 4),
      try weightGradients(on: CPUDevice(), segments: nil))
  }

  /// A weight that two segments and what is outside them share, and the second derivative through them.
  func testGradientsThroughSegments() throws {
    for device in try testDevices() {
      var random = RandomStream(seed: 6)
      let weight = try random.normal([3, 3, 3, 3], device: device).requiringGradient()
      let images = try random.normal([2, 3, 7, 6], device: device)
      func found(_ recomputes: Bool) throws -> [[Float]] {
        try Autograd.recomputing(recomputes) {
          let x = images.requiringGradient()
          func layer(_ x: Tensor) throws -> Tensor { try x.convolved(with: weight, padding: 1).tanh() }
          let inner = try Autograd.segment { try layer(x) }
          let outer = try layer(Autograd.segment { try layer(layer(inner)) }) + inner
          let slope = try gradients(of: outer.squared().sum(), withRespectTo: [x], createGraph: true)[0]
          let seconds = try gradients(of: slope.squared().sum(), withRespectTo: [x, weight])
          return try ([slope] + seconds).map { try $0.values() }
        }
      }
      for (again, kept) in zip(try found(true), try found(false)) {
        XCTAssertLessThan(relativeError(again, kept), 1e-5, device.name)
      }
    }
  }

  /// A segment that depends on nothing that gradients are taken of is a constant.
  func testConstantSegments() throws {
    let device = CPUDevice()
    let x = try Tensor([1, 2], shape: [2], device: device)
    let y = try Autograd.recomputing { try Autograd.segment { try x * x } }
    XCTAssertFalse(y.requiresGradient)
    XCTAssertEqual(try y.values(), [1, 4])
  }

  /// With the norms' outputs, what is kept would fill twice as much: all of the memory that there is here.
  func testOutputsOfNormsAreNotKept() throws {
    func weightGradients(on device: any Device) throws -> [[Float]] {
      let (loss, weights) = try chainOfNorms(on: device)
      return try gradients(of: loss, withRespectTo: weights).map { try $0.values() }
    }
    XCTAssertEqual(
      try weightGradients(on: CPUDevice(memoryLimit: 32 * 256 << 10)), try weightGradients(on: CPUDevice()))
  }

  /// A loss that is held after its gradients were made holds nothing of what they needed: three such graphs would fill more
  /// memory than there is here.
  func testConsumedGraphsHoldNothing() throws {
    let device = CPUDevice(memoryLimit: 32 * 256 << 10)
    let losses = try (0..<3).map { _ in
      let (loss, weights) = try chainOfNorms(on: device)
      _ = try gradients(of: loss, withRespectTo: weights)
      return loss
    }
    XCTAssertEqual(try losses[0].item(), try losses[2].item())
  }

  /// Ranges never overlap, freed neighbours join, and a slab that is free goes back whole.
  func testArenaHandsOutDisjointRanges() {
    let arena = Arena<Int>(granule: 16, slabLength: 1024)
    var choice = RandomStream(seed: 4)
    var made = 0
    var held: [(range: Arena<Int>.Range, slab: Int)] = []
    for _ in 0..<5000 {
      if held.count > 40 || (!held.isEmpty && choice.integer(below: 3) == 0) {
        arena.give(held.remove(at: choice.integer(below: held.count)).range)
      } else {
        let length = 1 + choice.integer(below: choice.integer(below: 20) == 0 ? 3000 : 300)
        let (range, slab) = arena.take(length) { _ in
          made += 1
          return made
        }
        XCTAssertGreaterThanOrEqual(range.length, length)
        XCTAssertEqual(range.offset % 16, 0)
        for other in held where other.slab == slab {
          XCTAssertTrue(
            range.offset + range.length <= other.range.offset || other.range.offset + other.range.length <= range.offset
          )
        }
        held.append((range, slab))
      }
    }
    for (range, _) in held { arena.give(range) }
    var released = 0
    arena.drain { _ in released += 1 }
    XCTAssertEqual(released, made)
    XCTAssertEqual(arena.byteCount.current, 0)
    XCTAssertGreaterThan(arena.byteCount.peak, 0)
  }

  /// Slabs of a range each serve ranges of the same length again, and no others.
  func testArenaOfWholeSlabs() {
    let arena = Arena<Int>(granule: 16, slabLength: 0)
    var made = 0
    func take(_ length: Int) -> (range: Arena<Int>.Range, slab: Int) {
      arena.take(length) { _ in
        made += 1
        return made
      }
    }
    let first = take(100)
    let second = take(112)
    XCTAssertNotEqual(first.slab, second.slab)
    arena.give(first.range)
    XCTAssertEqual(take(50).slab, 3)
    XCTAssertEqual(take(105).slab, first.slab)
    XCTAssertEqual(arena.byteCount.current, 112 + 112 + 64)
    arena.give(second.range)
    var released: [Int] = []
    arena.drain { released.append($0) }
    XCTAssertEqual(released, [second.slab])
    XCTAssertEqual(take(112).slab, 4)
  }

  /// Of what is free, what is needed is given back: the smallest slab that is enough, else the largest ones; what is in use stays.
  func testArenaGivesBackNoMoreThanIsNeeded() {
    let arena = Arena<Int>(granule: 16, slabLength: 0)
    let ranges = [64, 256, 128, 512, 1024].map { length in arena.take(length) { _ in length }.0 }
    for range in ranges.dropLast() { arena.give(range) }
    func drained(_ bytes: Int?) -> [Int] {
      var released: [Int] = []
      arena.drain(bytes) { released.append($0) }
      return released
    }
    XCTAssertEqual(drained(0), [])
    XCTAssertEqual(drained(100), [128])
    XCTAssertEqual(drained(600), [512, 256])
    XCTAssertEqual(arena.byteCount.current, 64 + 1024)
    // What is left still serves its length, and what is gone does not.
    XCTAssertEqual(arena.take(64) { _ in 1 }.1, 64)
    XCTAssertEqual(arena.take(256) { _ in 2 }.1, 2)
    XCTAssertEqual(drained(nil), [])
  }

  /// A full device whose tensors have a memory object each keeps those that it does not need to give back.
  func testFullDevicesKeepWhatTheyCan() throws {
    for info in try openCLDevices() {
      var parameters = KernelParameters(for: info, isProcessor: false)
      parameters.slabBytes = 0
      let device = try OpenCLDevice(info, parameters: parameters, memoryLimit: 8 << 20)
      func use(_ mebibytes: [Int]) throws {
        let buffers = try mebibytes.map { try device.allocate($0 << 18) }
        XCTAssertEqual(buffers.map(\.count), mebibytes.map { $0 << 18 })
      }
      try use([1, 2, 4])
      try use([3])
      XCTAssertEqual(device.memory.current, 6 << 20, "of 1, 2 and 4 MiB the last goes for 3")
      try use([8])
      XCTAssertEqual(device.memory.current, 8 << 20)
      XCTAssertThrowsError(try use([5, 4]))
    }
  }
}
