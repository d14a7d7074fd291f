import ArgumentParser
import Foundation
import TSDF

/// Refuses an option whose value is out of its range, NaN always; nil is what was not given.
func require<T: Comparable>(_ option: String, _ value: T?, _ range: ClosedRange<T>) throws {
  guard let value, let complaint = complaint(about: value, outOf: range) else { return }
  throw ValidationError("\(option) \(complaint)")
}

/// The most photos, faces, steps or rounds of anything: what is made of such counts does not overflow.
let largestCount = 1_000_000_000

/// Refuses what takes more memory than there is.
/// - Parameters:
///   - bytes: needed at least.
///   - limit: of what there is, on a device or in the machine.
func requireMemory(_ bytes: Double, for what: String, limit: Int, of owner: String) throws {
  guard bytes > Double(limit) else { return }
  func gigabytes(_ bytes: Double) -> String { String(format: "%.1f GiB", bytes / Double(1 << 30)) }
  throw ValidationError(
    "\(what) would take at least \(gigabytes(bytes)) of memory; \(owner) has \(gigabytes(Double(limit)))")
}

/// Refuses more faces of a size, and larger batches of them, than the machine holds.
func requireMemory(forFaces count: Int, size: Int, batch: Int) throws {
  let pixels = Double(size) * Double(size) * 3
  try requireMemory(
    Double(count) * pixels + Double(min(batch, count)) * pixels * Double(MemoryLayout<Float>.size),
    for: "\(count) faces of \(size) x \(size) in batches of \(min(batch, count))",
    limit: Int(clamping: ProcessInfo.processInfo.physicalMemory), of: "this machine")
}

/// Refuses a recipe by the option that sets the field at fault: `--feature-steps` for featureSteps.
func requireValid(_ validate: () throws(RecipeError) -> Void) throws {
  do throws(RecipeError) {
    try validate()
  } catch {
    let option = error.field.reduce(into: "") { $0 += $1.isUppercase ? "-\($1.lowercased())" : "\($1)" }
    throw ValidationError("--\(option) \(error.message)")
  }
}
