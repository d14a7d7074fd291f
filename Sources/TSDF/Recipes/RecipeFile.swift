import Foundation
import Kernels

/// A recipe from JSON with any of its fields; the others are as in `defaults`.
/// - Parameters:
///   - isStrict: refuse unknown fields, which other versions may have written.
///   - optional: fields that defaults do not show, since they have none.
/// - Throws: `FileError` naming the field at fault.
func decodeRecipe<Recipe: Codable>(
  _ json: Data, over defaults: Recipe, from url: URL, isStrict: Bool, optional: [String] = []
)
  throws -> Recipe
{
  guard json.count <= largestRecipeByteCount else {
    throw FileError(url.path, "is larger than any recipe: \(json.count) bytes")
  }
  guard let given = try? JSONSerialization.jsonObject(with: json) as? [String: Any] else {
    throw FileError(url.path, "has no recipe: a JSON object is expected")
  }
  let all = try fields(of: defaults)
  if isStrict, let unknown = given.keys.sorted().first(where: { all[$0] == nil && !optional.contains($0) }) {
    throw FileError(
      url.path, "has the unknown field \(unknown); there are \((all.keys + optional).sorted().joined(separator: ", "))")
  }
  do {
    return try replacingFields(of: defaults, with: given)
  } catch {
    // The decoder does not name the field of a number that does not fit: it is found by itself.
    for (field, value) in given.sorted(by: { $0.key < $1.key }) {
      do {
        _ = try replacingFields(of: defaults, with: [field: value])
      } catch {
        throw FileError(url.path, "\(field) does not hold what it should: \(reason(error))")
      }
    }
    throw FileError(url.path, "is no recipe: \(reason(error))")
  }
}

/// The values of a recipe, or of what is to replace some of them, by their fields' names; what is nil is left out. As `JSONSerialization`
/// has them; what is no finite number is its name.
package func fields(of values: some Encodable) throws -> [String: Any] {
  let object = try JSONSerialization.jsonObject(with: JSONEncoder.sorted().encode(values)) as? [String: Any] ?? [:]
  return object.filter { !($0.value is NSNull) }
}

/// A recipe with other values in some fields.
/// - Parameter given: as of `fields(of:)`.
/// - Throws: `DecodingError` where a field cannot hold its value.
package func replacingFields<Recipe: Codable>(of recipe: Recipe, with given: [String: Any]) throws -> Recipe {
  let whole = try JSONSerialization.data(withJSONObject: fields(of: recipe).merging(given) { $1 })
  return try JSONDecoder.withAllNumbers().decode(Recipe.self, from: whole)
}

/// A recipe has some fifty fields.
private let largestRecipeByteCount = 1 << 20

/// What a decoder has against a value, in its own words.
private func reason(_ error: any Error) -> String {
  switch error {
  case DecodingError.dataCorrupted(let context) where context.codingPath.isEmpty:
    // A number that no such field could hold: to the decoder the whole of it is no JSON.
    return "the number does not fit"
  case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context),
    DecodingError.keyNotFound(_, let context), DecodingError.dataCorrupted(let context):
    return context.debugDescription
  default: return error.localizedDescription
  }
}
