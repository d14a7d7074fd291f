import ArgumentParser
import Foundation
import Kernels
import Synchronization

/// Options of commands that processes of one run share.
struct GroupOptions: ParsableArguments {
  @Flag(
    help: ArgumentHelp(
      "Share the work with the other processes that mpirun started, on this machine and others; tools/make-mpi first."))
  var mpi = false

  /// Runs `body` as one of the processes that mpirun started; where it fails in one, all end.
  /// - Throws: what `body` throws.
  func asProcess(_ body: (MPIGroup) throws -> Void) throws {
    let group = try joined()
    do {
      try body(group)
    } catch let exit as ExitCode where exit.rawValue > 128 {
      // A signal, which all members know of.
      group.end()
      throw exit
    } catch {
      if !(error is ExitCode) { printError("\(error)") }
      group.abandon()
      throw error
    }
    group.end()
  }

  private func joined() throws -> MPIGroup {
    let given = ProcessInfo.processInfo.environment["TSDF_MPI"].map { URL(fileURLWithPath: $0) }
    return try MPIGroup(library: given ?? executable.deletingLastPathComponent().appendingPathComponent("tsdf-mpi.so"))
  }
}

/// One of those who do a run's work together, step by step: a device of its own, in a thread or a process.
struct Member {
  let device: any Device
  /// Nil where it works alone.
  let group: (any ReductionGroup)?
  /// Says something for the first member only.
  let progress: Progress

  /// Whether it writes what is to be written.
  var isFirst: Bool { group?.rank ?? 0 == 0 }

  /// Whether a signal has come to any member.
  func isStopped() throws -> Bool { try group?.any(StopSignal.isPending) ?? StopSignal.isPending }

  /// Refuses to go on where members would do different work: with other options, or from another checkpoint.
  func requireAgreement(on work: String) throws {
    guard try group?.agree(on: work) ?? true else {
      throw GroupError(
        "the processes would do different work: they need the same options, and all must see the same checkpoint")
    }
  }

  /// Says what the exchange between the members has taken.
  func reportExchange(steps: Int, since start: Date) {
    guard let group, group.count > 1, steps > 0 else { return }
    let (taken, seconds) = (group.exchange, Date().timeIntervalSince(start))
    progress.note(
      String(
        format: "%d members: %.3f s a step, of it %.3f s exchanging %.3f MB", group.count, seconds / Double(steps),
        taken.seconds / Double(steps), Double(taken.bytes) / 1e6 / Double(steps)))
  }
}

extension CommonOptions {
  /// Runs `body` once for each device that was asked for, all at once, or once in each of mpirun's processes.
  /// - Throws: what a member throws; the others end with it.
  func forEachMember(_ options: GroupOptions, _ body: @escaping @Sendable (Member) throws -> Void) throws {
    let requests = try deviceRequests()
    if options.mpi {
      try options.asProcess { group in
        try body(
          Member(
            device: openDevice(named: requests[group.rankOnMachine % requests.count]), group: group,
            progress: progress(of: group)))
      }
    } else if requests.count > 1 {
      try inThreads(LocalGroup.members(requests.count)) { group in
        try body(
          Member(
            device: self.openDevice(named: requests[group.rank]), group: group, progress: self.progress(of: group)))
      }
    } else {
      try body(Member(device: openDevice(named: requests[0]), group: nil, progress: progress))
    }
  }

  private func progress(of group: any ReductionGroup) -> Progress {
    Progress(isQuiet: group.rank > 0 || quiet)
  }
}

/// Runs `body` for each member in a thread of its own.
private func inThreads(_ members: [LocalGroup], _ body: @escaping @Sendable (LocalGroup) throws -> Void) throws {
  let failures = Failures()
  let work = DispatchGroup()
  for member in members {
    work.enter()
    let thread = Thread {
      do {
        try body(member)
      } catch {
        failures.all.withLock { $0.append((member.rank, error)) }
        member.abandon()
      }
      work.leave()
    }
    // As the main thread has it.
    thread.stackSize = 8 << 20
    thread.start()
  }
  work.wait()
  // That others are gone follows from what one failed at.
  let all = failures.all.withLock { $0 }.sorted { $0.rank < $1.rank }
  if let failure = all.first(where: { !($0.error is GroupError) }) ?? all.first { throw failure.error }
}

/// What members ended with.
private final class Failures: Sendable {
  let all = Mutex<[(rank: Int, error: any Error)]>([])
}
