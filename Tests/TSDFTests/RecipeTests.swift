import Foundation
import Kernels
import Networks
import TSDF
import XCTest

final class RecipeTests: XCTestCase {
  /// Whatever number a field holds, the recipe is refused by the field's name or holds what it was given.
  func testEveryNumberOfACraftRecipe() throws {
    try requireChecked(CraftRecipe()) {
      try CraftRecipe(json: $0, from: URL(fileURLWithPath: "r.json"), isStrict: true)
    }
  }

  private func requireChecked<R: Codable>(_ defaults: R, _ read: (Data) throws -> R) throws {
    let fields = try XCTUnwrap(JSONSerialization.jsonObject(with: JSONEncoder().encode(defaults)) as? [String: Any])
    var refused = 0
    for (field, value) in fields where value is NSNumber {
      for text in ["9223372036854775807", "18446744073709551616", "-9223372036854775808", "1e999", "-1", "1.5"] {
        do {
          _ = try read(Data("{\"\(field)\": \(text)}".utf8))
        } catch let error as FileError {
          refused += 1
          XCTAssertTrue(error.message.contains(field) || error.message.contains("JSON"), "\(field) \(text): \(error)")
        }
      }
    }
    XCTAssertGreaterThan(refused, 4 * fields.values.count { $0 is NSNumber })
  }

  func testTrainingRecipes() throws {
    func message(_ change: (inout TrainingRecipe) -> Void) throws -> String {
      var recipe = try TrainingRecipe(defaultsOf: "stargan")
      XCTAssertNoThrow(try recipe.validate())
      change(&recipe)
      do {
        try recipe.validate()
        return ""
      } catch {
        return error.description
      }
    }
    XCTAssertEqual(try message { $0.width = .max }, "width must be from 1 to 65536, not 9223372036854775807")
    XCTAssertEqual(try message { $0.discriminatorLayers = 64 }, "discriminatorLayers must be from 1 to 12, not 64")
    XCTAssertEqual(try message { $0.imageSize = 130 }, "imageSize must be a multiple of 4, not 130")
    XCTAssertEqual(try message { $0.learningRate = .nan }, "learningRate must be from 0.0 to 1.0, not nan")
    XCTAssertEqual(try message { $0.beta2 = 1 }, "beta2 must be at least 0 and below 1, not 1.0")
    XCTAssertEqual(try message { $0.steps = 0 }, "steps must be from 1 to 1000000000, not 0")
  }

  /// Every method is under its own name, the default first, and knows what it works against.
  func testMethods() {
    let names = CraftMethod.allCases.map(\.rawValue)
    XCTAssertEqual(names, ["joint", "tsdf", "interruption", "poison", "cmua", "found", "pgd", "noise"])
    XCTAssertEqual(names.first, CraftRecipe().method.rawValue)
    XCTAssertEqual(Set(names).count, names.count)
    XCTAssertEqual(names.map { CraftMethod(rawValue: $0) }, CraftMethod.allCases)
    XCTAssertEqual(CraftMethod(rawValue: "tsdf"), .tsdf)
    XCTAssertNil(CraftMethod(rawValue: "magic"))
  }

  /// A method that works against a kind of model refuses to work without one, by its name; what makes nothing of models takes none.
  func testModelsOfMethods() throws {
    let device = CPUDevice()
    for method in CraftMethod.allCases {
      var recipe = CraftRecipe()
      (recipe.method, recipe.size) = (method, 64)
      func refusal(_ generators: [any Generator]) -> String? {
        do {
          _ = try Crafter(
            recipe, faces: smallFaces(1, size: 64), generators: generators, detectors: [], device: device)
          return nil
        } catch {
          return "\(error)"
        }
      }
      let alone = refusal([])
      let needs = method.generators == .required ? "generator" : method.detectors == .required ? "detector" : nil
      if let needs {
        XCTAssertTrue(alone?.contains("--method \(method.rawValue) needs a \(needs)") == true, alone ?? method.rawValue)
      } else {
        // What works against any model needs one of some kind.
        XCTAssertEqual(alone == nil, method.generators == .none && method.detectors == .none, alone ?? method.rawValue)
      }
      let beside = refusal(try [smallGenerator(on: device)])
      XCTAssertEqual(beside == nil, method.detectors != .required, beside ?? method.rawValue)
    }
    XCTAssertEqual(
      [CraftMethod.tsdf, .joint, .poison, .noise].map(\.generators), [.required, .optional, .none, .none])
    XCTAssertEqual(
      CraftMethod.allCases.filter { $0.generators == .required }, [.tsdf, .interruption, .cmua, .found, .pgd])
    XCTAssertEqual(CraftMethod.allCases.filter { $0.detectors == .required }, [.tsdf, .poison])
    XCTAssertEqual([CraftMethod.tsdf, .joint, .cmua, .noise].map(\.detectors), [.required, .optional, .none, .none])
  }

  /// More faces a batch take more memory, less so where activations are recomputed; the dry run of one does not depend on how
  /// many there are.
  func testPlannedMemory() throws {
    var recipe = try TrainingRecipe(defaultsOf: "stargan")
    (recipe.attributes, recipe.imageSize, recipe.width, recipe.blocks) = (["A", "B"], 32, 8, 1)
    (recipe.discriminatorWidth, recipe.discriminatorLayers, recipe.batch) = (8, 2, 1)
    let one = try Trainer.plannedByteCounts(recipe)
    XCTAssertEqual(one.least, one.whole)
    recipe.batch = 11
    let eleven = try Trainer.plannedByteCounts(recipe)
    recipe.batch = 21
    let more = try Trainer.plannedByteCounts(recipe)
    XCTAssertEqual(eleven.least, one.least)
    XCTAssertGreaterThan(eleven.whole, one.whole)
    XCTAssertGreaterThan(more.whole, eleven.whole)
    XCTAssertLessThan(more.whole, 21 * one.whole)
    recipe.recomputes = true
    XCTAssertLessThan(try Trainer.plannedByteCounts(recipe).whole, more.whole)
    recipe.width = 65536
    XCTAssertGreaterThan(try Trainer.plannedByteCounts(recipe).least, 1e12)
  }
}
