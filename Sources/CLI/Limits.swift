import ArgumentParser
import TSDF

/// Refuses an option whose value is out of its range, NaN always; nil is what was not given.
func require<T: Comparable>(_ option: String, _ value: T?, _ range: ClosedRange<T>) throws {
  guard let value, !range.contains(value) else { return }
  throw ValidationError("\(option) must be from \(range.lowerBound) to \(range.upperBound), not \(value)")
}

/// The most photos, faces, steps or rounds of anything: what is made of such counts does not overflow.
let largestCount = 1_000_000_000

extension RecipeError {
  /// The same of the option that sets the field: `--feature-steps` for featureSteps.
  var asUsageError: ValidationError {
    let option = field.reduce(into: "") { $0 += $1.isUppercase ? "-\($1.lowercased())" : "\($1)" }
    return ValidationError("--\(option) \(message)")
  }
}
