import TestSupport
import XCTest

/// Commands with a folder of their own, which holds what `writeSmallModels` writes.
class CommandTestCase: XCTestCase {
  private(set) var folder: TemporaryFolder!

  override func setUpWithError() throws {
    folder = try TemporaryFolder()
    try writeSmallModels(to: folder)
  }
}
