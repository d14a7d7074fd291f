import Foundation
import Synchronization

/// A member of a group over the processes that `mpirun` started. Its library, tsdf-mpi.so, is made by tools/make-mpi and loaded
/// here, so that nothing else needs MPI.
public final class MPIGroup: ReductionGroup {
  private typealias Begin =
    @convention(c) (UnsafeMutablePointer<Int32>, UnsafeMutablePointer<Int32>, UnsafeMutablePointer<Int32>) -> Int32
  private typealias Exchange = @convention(c) (UnsafeMutablePointer<Float>?, Int) -> Int32
  private typealias End = @convention(c) () -> Int32
  private typealias Abandon = @convention(c) (Int32) -> Void

  public let rank: Int, count: Int
  /// This member's number among those on its machine.
  public let rankOnMachine: Int
  private let add: Exchange, spread: Exchange, finish: End, giveUp: Abandon
  private let account = Mutex(ExchangeAccount())

  /// Joins the other processes.
  /// - Parameter library: tsdf-mpi.so.
  /// - Throws: `GroupError` where the library cannot be loaded, or where MPI does not begin.
  public init(library: URL) throws {
    func refusal() -> GroupError {
      let reason = dlerror().map { String(cString: $0) } ?? "for no reason that is known"
      return GroupError("\(library.path) cannot be loaded (\(reason)); tools/make-mpi makes it")
    }
    // MPI loads parts of itself, which look for it among what is there for all.
    guard let handle = dlopen(library.path, RTLD_NOW | RTLD_GLOBAL) else { throw refusal() }
    func function<F>(_ name: String, as type: F.Type) throws -> F {
      guard let found = dlsym(handle, name) else { throw refusal() }
      return unsafeBitCast(found, to: type)
    }
    let begin = try function("tsdf_mpi_begin", as: Begin.self)
    (add, spread) = (
      try function("tsdf_mpi_sum", as: Exchange.self), try function("tsdf_mpi_broadcast", as: Exchange.self)
    )
    (finish, giveUp) = (
      try function("tsdf_mpi_end", as: End.self), try function("tsdf_mpi_abandon", as: Abandon.self)
    )
    var (rank, count, onMachine) = (Int32(0), Int32(1), Int32(0))
    let status = begin(&rank, &count, &onMachine)
    guard status == 0 else { throw GroupError("MPI does not begin: error \(status)") }
    (self.rank, self.count, rankOnMachine) = (Int(rank), Int(count), Int(onMachine))
  }

  public var exchange: ExchangeAccount { account.withLock { $0 } }

  public func sum(_ values: [Float]) throws -> [Float] { try exchanging(values, add) }

  public func broadcast(_ values: [Float]) throws -> [Float] { try exchanging(values, spread) }

  private func exchanging(_ values: [Float], _ function: Exchange) throws -> [Float] {
    let start = ContinuousClock.now
    var values = values
    let status = values.withUnsafeMutableBufferPointer { function($0.baseAddress, $0.count) }
    account.withLock { [count = values.count] in $0.add(valueCount: count, since: start) }
    guard status == 0 else { throw GroupError("the other processes cannot be reached: MPI's error \(status)") }
    return values
  }

  /// Leaves the group when all have done their work.
  public func end() { _ = finish() }

  public func abandon() { giveUp(1) }
}
