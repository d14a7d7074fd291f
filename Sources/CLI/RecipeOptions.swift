import ArgumentParser
import TSDF

/// Options that set fields of a recipe, each the field of its name: `featureSteps` is `--feature-steps`. What is not given, nil, leaves
/// its field as it is.
protocol RecipeOptions: ParsableArguments, Encodable {}

extension RecipeOptions {
  /// A recipe with what was given in place of its own.
  func applied<Recipe: Codable>(to recipe: Recipe) throws -> Recipe {
    try replacingFields(of: recipe, with: fields(of: self))
  }
}

// Options can be decoded, but not encoded. Should the package learn it, the compiler says so, and this goes.
// swift-format-ignore: AvoidRetroactiveConformances
extension Option: @retroactive Encodable where Value: Encodable {
  /// The value alone.
  public func encode(to encoder: any Encoder) throws { try wrappedValue.encode(to: encoder) }
}
