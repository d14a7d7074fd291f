import ArgumentParser
import Foundation
import Synchronization

/// Ctrl-C, SIGTERM and SIGHUP as a wish that long commands look at between steps: they end what is in hand, write a checkpoint and
/// end. A second one ends the process at once.
enum StopSignal {
  private static let received = Atomic<Int32>(0)

  /// From here on the signals are a wish. One that is ignored, as nohup has it, stays ignored.
  static func listen() {
    received.store(0, ordering: .relaxed)
    for number in [SIGINT, SIGTERM, SIGHUP] {
      let before = signal(number) {
        StopSignal.received.store($0, ordering: .relaxed)
        for number in [SIGINT, SIGTERM, SIGHUP] { signal(number, SIG_DFL) }
      }
      if unsafeBitCast(before, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) { signal(number, SIG_IGN) }
    }
  }

  /// Whether one has come.
  static var isPending: Bool { received.load(ordering: .relaxed) != 0 }

  /// Ends the command, as a shell expects of a signal, where one has come.
  static func exitIfPending() throws {
    if isPending { try exit() }
  }

  /// Ends the command so; where the signal came to another process of the run, as on SIGTERM.
  static func exit() throws -> Never {
    let number = received.load(ordering: .relaxed)
    throw ExitCode(128 + (number == 0 ? SIGTERM : number))
  }
}
