import Foundation
import TestSupport
import XCTest

/// Tests with a folder of their own, which is gone after each.
class FolderTestCase: XCTestCase {
  private var temporary: TemporaryFolder!
  var folder: URL { temporary.url }

  override func setUpWithError() throws { temporary = try TemporaryFolder() }

  override func tearDown() { temporary = nil }
}
