/// A field of a recipe that holds what it cannot.
public struct RecipeError: Error, CustomStringConvertible, Sendable {
  /// The field's name in the recipe's JSON.
  public let field: String
  /// What it must be, and what it is.
  public let message: String

  package init(_ field: String, _ message: String) { (self.field, self.message) = (field, message) }

  public var description: String { "\(field) \(message)" }
}

/// Refuses a number out of a range, NaN always.
func requireField<T: Comparable>(_ field: String, _ value: T, _ range: ClosedRange<T>) throws(RecipeError) {
  if let complaint = complaint(about: value, outOf: range) { throw RecipeError(field, complaint) }
}

/// What is wrong with a number that is out of a range, as NaN always is; nil where nothing is.
package func complaint<T: Comparable>(about value: T, outOf range: ClosedRange<T>) -> String? {
  range.contains(value) ? nil : "must be from \(range.lowerBound) to \(range.upperBound), not \(value)"
}
