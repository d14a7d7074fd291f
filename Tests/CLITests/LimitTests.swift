import Foundation
import Kernels
import Networks
import Pictures
import TSDF
import TestSupport
import XCTest

/// What options and recipes cannot be is wrong usage (64), said before any work.
final class LimitTests: XCTestCase {
  private let folder = try! TemporaryFolder()

  private func requireUsageError(_ arguments: [String], naming option: String, line: UInt = #line) throws {
    let result = try tsdf(arguments)
    XCTAssertEqual(result.status, 64, "\(arguments): \(result.errors)", line: line)
    XCTAssertTrue(result.errors.contains(option), "\(arguments): \(result.errors)", line: line)
  }

  private static let impossible = ["9223372036854775807", "4611686018427387904", "-1"]

  func testCraft() throws {
    let start = ["craft", "--data", folder.path("none"), "--output", folder.path("w.safetensors")]
    for option in [
      "--size", "--faces", "--hold-out", "--batch", "--passes", "--feature-steps", "--poison-steps",
      "--feature-projection", "--compression-quality", "--image-steps", "--checkpoint-every", "--memory-limit",
    ] {
      for value in Self.impossible {
        try requireUsageError(start + ["\(option)=\(value)"], naming: option)
      }
    }
    for (field, value) in try fields(of: CraftRecipe()) where value is NSNumber && field != "usesMask" {
      for value in ["nan", "inf", "-1"] {
        try requireUsageError(start + ["\(option(field))=\(value)"], naming: option(field))
      }
    }
    try requireUsageError(start + ["--method", "magic"], naming: "--method")
    try requireUsageError(start + ["--weights", "magic=1"], naming: "--weights")
  }

  /// Options set the fields of their names, and there is one for each field that a command is to set.
  func testEveryFieldHasAnOption() throws {
    for (command, recipe, others) in [
      (["craft"], try fields(of: CraftRecipe()), ["usesMask"]),
      (["train", "generator"], try fields(of: TrainingRecipe(defaultsOf: "stargan")), ["beta1", "beta2", "model"]),
    ] {
      let help = try tsdf(command + ["--help"]).output
      let missing = recipe.keys.filter { !help.contains("  \(option($0)) ") && !help.contains(", \(option($0)) ") }
      XCTAssertEqual(missing.sorted(), others, "\(command)")
    }
  }

  private func option(_ field: String) -> String {
    "--" + field.reduce(into: "") { $0 += $1.isUppercase ? "-\($1.lowercased())" : "\($1)" }
  }

  func testTrain() throws {
    let start = ["train", "stargan", "--data", folder.path("none"), "--output", folder.path("g.safetensors")]
    for option in [
      "--image-size", "--width", "--blocks", "--discriminator-width", "--discriminator-layers", "--hidden-count",
      "--batch", "--steps", "--critic-steps", "--decay-steps", "--hold-out", "--checkpoint-every", "--sample-every",
    ] {
      for value in Self.impossible { try requireUsageError(start + ["\(option)=\(value)"], naming: option) }
    }
    try requireUsageError(start + ["--discriminator-layers", "64"], naming: "--discriminator-layers")
    try requireUsageError(start + ["--image-size", "130"], naming: "--image-size")
    for value in ["nan", "1", "-1"] {
      try requireUsageError(start + ["--averaging=\(value)"], naming: "--averaging")
    }
    for option in [
      "--learning-rate", "--mapper-learning-rate", "--classification-weight", "--critic-classification-weight",
      "--reconstruction-weight", "--penalty-weight", "--style-weight",
    ] {
      for value in ["nan", "inf", "-1"] { try requireUsageError(start + ["\(option)=\(value)"], naming: option) }
    }
  }

  func testOthers() throws {
    for (start, options) in [
      (["evaluate", "--data", "none"], ["--count", "--size", "--refine", "--hold-out", "--jpeg", "--memory-limit"]),
      (
        ["protect", "none", "--output", folder.path("o")],
        ["--refine", "--quality", "--margin", "--extent", "--longest-side"]
      ),
      (["detect", "none"], ["--longest-side", "--threshold"]),
      (["bench", "kernels"], ["--runs"]),
      (["bench", "protect", "none"], ["--count", "--rounds", "--quality"]),
      (["forward", "hisd", "--weights", "w", "--input", "i", "--output", "o"], ["--tag"]),
    ] {
      for option in options {
        for value in Self.impossible { try requireUsageError(start + ["\(option)=\(value)"], naming: option) }
      }
    }
  }

  /// A recipe's field is refused as an option is, by the file's name and its own.
  func testRecipes() throws {
    for (text, field) in [
      (#"{"size": 9223372036854775807}"#, "size"), (#"{"batch": 9223372036854775808}"#, "batch"),
      (#"{"passes": 4611686018427387904}"#, "passes"), (#"{"faces": -1}"#, "faces"),
      (#"{"epsilon": 1e300}"#, "epsilon"),
      (#"{"poisonSteps": null}"#, "poisonSteps"), (#"{"seed": -1}"#, "seed"), (#"{"method": "magic"}"#, "method"),
      (#"{"weights": {"nobody": 1}}"#, "nobody"), (#"{"generators": [[["a"]]]}"#, "generators"),
      (String(repeating: "[", count: 100_000), "JSON"),
      (#"{"a":"# + String(repeating: "{\"a\":", count: 50_000), "JSON"),
    ] {
      try folder.write(Data(text.utf8), "bad.json")
      let result = try tsdf(
        "craft", "--recipe", folder.path("bad.json"), "--output", folder.path("w.safetensors"), "--data", "none")
      XCTAssertEqual(result.status, 64, "\(text.prefix(60)): \(result.errors)")
      XCTAssertTrue(
        result.errors.contains("bad.json") && result.errors.contains(field), "\(text.prefix(60)): \(result.errors)")
    }
  }
}
