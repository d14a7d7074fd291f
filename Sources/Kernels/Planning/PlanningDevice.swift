/// A device that holds nothing and computes nothing, and counts the memory that tensors would take: a dry run of any
/// computation, in no time. What is read back from it is 0.
///
/// What a back end holds besides tensors (packed weights, tiles in flight) is not counted.
package final class PlanningDevice: Device {
  package let name = "plan"
  package let summary = "plan (computes nothing)"
  private var bytes = (current: 0, peak: 0)

  package init() {}

  package var memory: (current: Int, peak: Int) { bytes }

  /// Memory that is not there.
  private final class PlannedBuffer: Buffer {
    private let device: PlanningDevice

    init(count: Int, device: PlanningDevice) {
      self.device = device
      super.init(count: count, owner: device)
    }

    deinit { device.bytes.current -= count * MemoryLayout<Float>.size }
  }

  package func allocate(_ count: Int) throws -> Buffer {
    let sum = bytes.current.addingReportingOverflow(try byteCount(of: count))
    guard !sum.overflow else { throw KernelsError.outOfMemory(device: name, bytes: .max) }
    bytes = (sum.partialValue, max(bytes.peak, sum.partialValue))
    return PlannedBuffer(count: count, device: self)
  }

  package func upload(_ values: UnsafeRawBufferPointer) throws -> Buffer { try allocate(values.count / 4) }

  package func download(_ buffer: Buffer, into target: UnsafeMutableRawBufferPointer) throws {
    target.initializeMemory(as: UInt8.self, repeating: 0)
  }

  package func fill(_ buffer: Buffer, count: Int, value: Float) {}
  package func synchronize() {}
  package func trim() {}
}

@available(*, unavailable)
extension PlanningDevice: Sendable {}

/// Every kernel is nothing.
extension PlanningDevice {
  package func unary(_: UnaryOperation, _: Buffer, into _: Buffer, count _: Int, a _: Float, b _: Float) {}
  package func binary(
    _: BinaryOperation, _: Buffer, _: Buffer, into _: Buffer, layout _: StridedLayout, parameter _: Float
  ) {}
  package func copy(_: Buffer, into _: Buffer, layout _: StridedLayout, xOffset _: Int, yOffset _: Int) {}
  package func packHalves(_: Buffer, into _: Buffer, count _: Int) {}
  package func unpackHalves(_: Buffer, into _: Buffer, count _: Int) {}
  package func addSpread(
    _: Buffer, _: Buffer, into _: Buffer, planes _: Int, height _: Int, width _: Int, side _: Int
  ) {}
  package func gatherRows(_: Buffer, indices _: Buffer, into _: Buffer, rows _: Int, width _: Int) {}
  package func gatherRowsGradient(
    _: Buffer, order _: Buffer, starts _: Buffer, into _: Buffer, sourceRows _: Int, width _: Int
  ) {}
  package func reduce(
    _: ReductionOperation, _: Buffer, into _: Buffer, outer _: Int, length _: Int, inner _: Int
  ) {}
  package func normalize(
    _: Buffer, gamma _: Buffer, beta _: Buffer, residual _: Buffer?, into _: Buffer, statistics _: Buffer,
    _: NormGeometry, slope _: Float
  ) {}
  package func normalizeGradient(
    _: Buffer, _: Buffer, gamma _: Buffer, beta _: Buffer, statistics _: Buffer, into _: Buffer, sums _: Buffer,
    _: NormGeometry, slope _: Float
  ) {}
  package func normalizeSecondGradient(
    _: Buffer, _: Buffer, _: Buffer, gamma _: Buffer, beta _: Buffer, statistics _: Buffer, into _: Buffer,
    ddy _: Buffer, dgamma _: Buffer, _: NormGeometry, slope _: Float
  ) {}
  package func conv2d(
    _: Buffer, _: Buffer, bias _: Buffer?, _: Rectifier, into _: Buffer, _: Conv2dGeometry
  ) {}
  package func conv2dInputGradient(_: Buffer, _: Buffer, bias _: Buffer?, into _: Buffer, _: Conv2dGeometry) {}
  package func conv2dWeightGradient(_: Buffer, _: Buffer, into _: Buffer, _: Conv2dGeometry) {}
  package func multiply(
    _: Buffer, transposingA _: Bool, _: Buffer, transposingB _: Bool, into _: Buffer, rows _: Int, columns _: Int,
    depth _: Int
  ) {}
  package func maxPool(_: Buffer, into _: Buffer, winners _: Buffer?, _: PoolGeometry) {}
  package func maxPoolGradient(_: Buffer, winners _: Buffer, into _: Buffer, _: PoolGeometry) {}
  package func maxPoolGather(_: Buffer, winners _: Buffer, into _: Buffer, _: PoolGeometry) {}
  package func medianPool(_: Buffer, into _: Buffer, winners _: Buffer?, _: PoolGeometry) {}
  package func averagePool(_: Buffer, into _: Buffer, _: PoolGeometry) {}
  package func averagePoolGradient(_: Buffer, into _: Buffer, _: PoolGeometry) {}
  package func sumBlocks(_: Buffer, into _: Buffer, _: BlockGeometry, scale _: Float) {}
  package func spreadBlocks(_: Buffer, into _: Buffer, _: BlockGeometry, scale _: Float) {}
  package func resize(_: Buffer, into _: Buffer, _: ResizeGeometry) {}
  package func resizeGradient(_: Buffer, into _: Buffer, _: ResizeGeometry) {}
  package func random(_: RandomDistribution, into _: Buffer, count _: Int, seed _: UInt64, stream _: UInt64) {}
  package func adamStep(
    _: Buffer, scale _: Buffer, parameter _: Buffer, m _: Buffer, v _: Buffer, count _: Int, _: AdamStep
  ) {}
  package func signStep(
    _: Buffer, scale _: Buffer, centre _: Buffer, parameter _: Buffer, m _: Buffer, count _: Int, stepSize _: Float,
    momentum _: Float, bound _: Float
  ) {}
}
