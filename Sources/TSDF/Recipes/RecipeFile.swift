import Foundation
import Kernels

/// A recipe from JSON with any of its fields; the others are as in `defaults`.
/// - Parameter isStrict: refuse unknown fields, which other versions may have written.
/// - Throws: `FileError` naming the field at fault.
func decodeRecipe<Recipe: Codable>(_ json: Data, over defaults: Recipe, from url: URL, isStrict: Bool) throws -> Recipe
{
  guard json.count <= largestRecipeByteCount else {
    throw FileError(url.path, "is larger than any recipe: \(json.count) bytes")
  }
  guard let given = try? JSONSerialization.jsonObject(with: json) as? [String: Any] else {
    throw FileError(url.path, "has no recipe: a JSON object is expected")
  }
  let all = try JSONSerialization.jsonObject(with: JSONEncoder().encode(defaults)) as? [String: Any] ?? [:]
  if isStrict, let unknown = given.keys.sorted().first(where: { all[$0] == nil }) {
    throw FileError(
      url.path, "has the unknown field \(unknown); there are \(all.keys.sorted().joined(separator: ", "))")
  }
  do {
    let whole = try JSONSerialization.data(withJSONObject: all.merging(given) { $1 })
    return try JSONDecoder().decode(Recipe.self, from: whole)
  } catch let error as DecodingError {
    throw FileError(url.path, "\(error.field) does not hold what it should: \(error.reason)")
  }
}

/// A recipe has some fifty fields.
private let largestRecipeByteCount = 1 << 20

extension DecodingError {
  private var context: Context? {
    switch self {
    case .typeMismatch(_, let context), .valueNotFound(_, let context), .keyNotFound(_, let context),
      .dataCorrupted(let context):
      return context
    @unknown default: return nil
    }
  }

  /// The field, with those that it lies in.
  fileprivate var field: String { context?.codingPath.map(\.stringValue).joined(separator: ".") ?? "" }

  fileprivate var reason: String { context?.debugDescription ?? "it is no recipe" }
}
