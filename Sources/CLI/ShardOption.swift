import ArgumentParser
import Foundation
import Kernels

/// What `--shard` says: I/N, or `slurm` for what Slurm's variables say of the task.
@Sendable func parseShard(_ text: String) throws -> Shard {
  guard text != "slurm" else { return try slurmShard(ProcessInfo.processInfo.environment) }
  let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
  guard parts.count == 2, let index = parts[0], let count = parts[1], let shard = Shard(index, of: count) else {
    throw ValidationError("--shard takes I/N, I from 0 to N - 1, or slurm, not \(text)")
  }
  return shard
}

/// The part of a Slurm task: its number in the job array, its number in the step, or of both the number among all tasks of all
/// of the array's steps.
/// - Throws: `ValidationError` where the variables name no part, or parts that are not all there.
func slurmShard(_ environment: [String: String]) throws -> Shard {
  func number(_ name: String) throws -> Int? {
    guard let text = environment[name] else { return nil }
    guard let value = Int(text), (0...largestCount).contains(value) else {
      throw ValidationError("--shard slurm: \(name) is \(text), no number")
    }
    return value
  }
  func needed(_ name: String, beside other: String) throws -> Int {
    guard let value = try number(name) else {
      throw ValidationError("--shard slurm: \(other) is set, but \(name) is not; give --shard I/N")
    }
    return value
  }
  var (index, count, isKnown) = (0, 1, false)
  if let task = try number("SLURM_ARRAY_TASK_ID") {
    let first = try needed("SLURM_ARRAY_TASK_MIN", beside: "SLURM_ARRAY_TASK_ID")
    let step = max(1, try number("SLURM_ARRAY_TASK_STEP") ?? 1)
    count = try needed("SLURM_ARRAY_TASK_COUNT", beside: "SLURM_ARRAY_TASK_ID")
    index = (task - first) / step
    let isWhole = try number("SLURM_ARRAY_TASK_MAX").map { ($0 - first) / step == count - 1 } ?? true
    guard task >= first, (task - first) % step == 0, index < count, isWhole else {
      throw ValidationError(
        "--shard slurm: the array has gaps (task \(task), the first \(first), \(count) in all); give --shard I/N")
    }
    isKnown = true
  }
  let tasks = try number("SLURM_NTASKS") ?? 1
  if environment["SLURM_STEP_NUM_TASKS"] != nil {
    let task = try needed("SLURM_PROCID", beside: "SLURM_STEP_NUM_TASKS")
    guard task < tasks else {
      throw ValidationError("--shard slurm: SLURM_PROCID is \(task) of SLURM_NTASKS \(tasks); give --shard I/N")
    }
    (index, count, isKnown) = (index * tasks + task, count * tasks, true)
  } else if tasks > 1 {
    // Outside of srun the batch script is one process, however many tasks the job has.
    throw ValidationError(
      "--shard slurm: the job has \(tasks) tasks, but this is no step of them: start it with srun, or give --shard I/N")
  }
  guard isKnown, let shard = Shard(index, of: count) else {
    throw ValidationError(
      "--shard slurm: this is neither a task of a job array nor one of srun's; make it one, or give --shard I/N")
  }
  return shard
}
