import Foundation
import Kernels
import TestSupport
import XCTest

/// Members that exchange values.
final class GroupTests: XCTestCase {
  func testSumsInTheOrderOfRanks() throws {
    // In another order they round otherwise.
    let parts: [[Float]] = [[1e8, 1, -0.0], [-1e8, 2, -0.0], [0.3, 3, -0.0], [1, 4, -0.0]]
    for found in try together(4, { try $0.sum(parts[$0.rank]) }) {
      XCTAssertEqual(
        found.map(\.bitPattern), [(Float(0.3) + 1).bitPattern, Float(10).bitPattern, Float(-0.0).bitPattern])
    }
  }

  func testManyCallsInTurn() throws {
    let sums = try together(3) { member in
      try (0..<2000).map { round in
        if round % 7 == member.rank { usleep(50) }
        let sum = try member.sum([Float(round * (member.rank + 1))])[0]
        return try member.broadcast([sum + Float(member.rank)])[0]
      }
    }
    for found in sums { XCTAssertEqual(found, (0..<2000).map { Float($0 * 6) }) }
    let counts = try together(2) { member in
      _ = try member.sum([1, 2, 3])
      return [member.exchange.calls, member.exchange.bytes]
    }
    XCTAssertEqual(counts, [[1, 12], [1, 12]])
  }

  func testAgreement() throws {
    XCTAssertEqual(try together(3) { try $0.agree(on: "the same") }, [true, true, true])
    XCTAssertEqual(try together(3) { try $0.agree(on: "\($0.rank / 2)") }, [false, false, false])
    XCTAssertEqual(try together(2) { try [$0.any($0.rank == 1), $0.any(false)] }, [[true, false], [true, false]])
  }

  func testMembersThatFailEndTheOthers() throws {
    struct Failed: Error {}
    XCTAssertThrowsError(
      try together(3) { member in
        _ = try member.sum([1])
        if member.rank == 1 { throw Failed() }
        for _ in 0..<10 { _ = try member.sum([1]) }
      }
    ) { XCTAssertTrue($0 is Failed, "\($0)") }
    XCTAssertThrowsError(try together(2) { try $0.sum([Float](repeating: 1, count: $0.rank)) }) {
      XCTAssertTrue($0 is GroupError, "\($0)")
    }
  }

  /// Each member computes its part, also of fewer images than there are members: the sums are those of one alone.
  func testSlicersShareABatch() throws {
    @Sendable func run(_ count: Int, _ slicer: BatchSlicer, _ device: any Device) throws -> [[Float]] {
      let values = (0..<count * 6).map { Float($0 % 5) - 1.5 }
      let leaf = try Tensor([0.5, -1, 2, 1, 3, -2], shape: [1, 6], device: device).requiringGradient()
      func input() throws -> Tensor { try Tensor(values, shape: [count, 6], device: device) * leaf }
      let plain = try slicer.gradient(through: input(), to: leaf) { rows, range in
        XCTAssertEqual(rows.shape, [range.count, 6])
        let loss = try rows.squared().sum(axes: [1]).mean()
        return (loss, [try loss * 3])
      }
      // Every row with every other.
      let joint = try slicer.gradient(through: input(), to: leaf) { rows, _ in
        try rows.squared()
      } of: { all in
        try all.matrixMultiplied(by: all, transposingOther: true).sum()
      }
      let mapped = try slicer.map(count: count) { [try input().detached().slice($0)] }
      return try [plain.gradient, plain.reported[0], joint, slicer.summed(mapped)[0]].map { try $0.values() }
    }
    for request in try ["cpu"] + (openCLDevices().isEmpty ? [] : ["opencl"]) {
      for count in [2, 7] {
        let device = try selectDevice(request).device
        let alone = try run(count, BatchSlicer(device: device), device)
        let inSlices = try run(count, BatchSlicer(device: device, sliceLength: 2), device)
        let members = try together(3) { member in
          let device = try selectDevice(request).device
          return try run(
            count, BatchSlicer(device: device, sliceLength: member.rank == 1 ? 1 : nil, group: member), device)
        }
        for found in members {
          XCTAssertEqual(found, members[0])
          for (one, other) in zip(found + inSlices, alone + alone) {
            XCTAssertLessThan(relativeError(one, other), 1e-6)
          }
        }
      }
    }
  }

  /// Members with different numbers of images normalise them, and pull gradients back, as one that has all.
  func testBatchNormsOverMembers() throws {
    let (parts, channels, area) = ([0..<1, 1..<3, 3..<6], 3, 5 * 7)
    let x = (0..<6 * channels * area).map { sin(Float($0 * $0 % 101)) * 3 + Float($0 % channels) }
    let seed = x.map { cos($0 * 5) }
    @Sendable func run(_ range: Range<Int>, _ group: LocalGroup?, _ device: any Device) throws -> [[Float]] {
      func images(_ values: [Float]) throws -> Tensor {
        try Tensor(values, shape: [6, channels, 5, 7], device: device).sliced(axis: 0, range).detached()
      }
      let leaves = try [
        images(x), Tensor([0.5, -2, 1], shape: [channels], device: device),
        Tensor([1, 0, -1], shape: [channels], device: device),
      ].map { $0.requiringGradient() }
      let (output, mean, variance) = try leaves[0].batchNormalized(
        gamma: leaves[1], beta: leaves[2], activation: .leakyReLU(0.2), over: group)
      let found = try gradients(of: output, withRespectTo: leaves, seed: images(seed))
      return try ([output, mean, variance] + found).map { try $0.detached().values() }
    }
    for request in try ["cpu"] + (openCLDevices().isEmpty ? [] : ["opencl"]) {
      let whole = try run(0..<6, nil, selectDevice(request).device)
      let members = try together(3) { try run(parts[$0.rank], $0, selectDevice(request).device) }
      // Of the output and the images' gradient each has its own rows; parameters' gradients add up.
      for index in [0, 3] {
        XCTAssertLessThan(relativeError(members.flatMap { $0[index] }, whole[index]), 1e-5, "\(request) \(index)")
      }
      for index in [1, 2] {
        for found in members {
          XCTAssertLessThan(relativeError(found[index], whole[index]), 1e-5, "\(request) \(index)")
        }
      }
      for index in [4, 5] {
        let sum = (0..<channels).map { channel in members.reduce(0) { $0 + $1[index][channel] } }
        XCTAssertLessThan(relativeError(sum, whole[index]), 1e-5, "\(request) \(index)")
      }
    }
  }

  func testEachNumberIsMadeByOneMember() throws {
    for count in [0, 1, 2, 5] {
      let expected = (0..<count).map { [Float](repeating: Float($0) + 0.5, count: $0 % 3) }
      let found = try together(3) { member in
        var made: [Int] = []
        let all = try BatchSlicer(device: CPUDevice(), group: member).sharedOut(count) {
          made.append($0)
          return [Float](repeating: Float($0) + 0.5, count: $0 % 3)
        }
        return (all, made)
      }
      for (all, _) in found { XCTAssertEqual(all, expected) }
      XCTAssertEqual(found.flatMap(\.1), Array(0..<count))
    }
  }
}
