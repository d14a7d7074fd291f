import Pictures
import TSDF
import XCTest

/// What the page of protected photos says, read as a person would: as text.
final class ProtectionPageTests: XCTestCase {
  private let dark = Image(planes: [Float](repeating: -1, count: 3 * 64), width: 8, height: 8)
  private let bright = Image(planes: [Float](repeating: 1, count: 3 * 64), width: 8, height: 8)

  private func account(_ name: String, broken: Int, stillFound: Int) -> PhotoAccount {
    PhotoAccount(
      name: name,
      faces: [
        PhotoAccount.Face(
          before: dark, after: bright, psnr: 34.25,
          generators: [
            PhotoAccount.GeneratorAccount(
              name: "stargan", edits: 5, broken: broken, strongest: ("Senior", dark, bright)),
            PhotoAccount.GeneratorAccount(name: "hisd", edits: 0, broken: 0, strongest: nil),
          ])
      ],
      detectors: [PhotoAccount.DetectorAccount(name: "retinaface", found: 1, stillFound: stillFound, invented: 2)])
  }

  func testWhatThePageSays() throws {
    var page = ProtectionPage(ProtectionPage.Purpose(generators: ["stargan"], detectors: ["retinaface", "mtcnn"]))
    try page.add(account("a.jpg", broken: 5, stillFound: 0))
    try page.add(account("<b>.png", broken: 0, stillFound: 1))
    let html = try page.html()
    for text in [
      "2 photos in all", "stargan is disturbed in part: 5 of its 10 edits come out clearly different.",
      "retinaface still finds 1 of 2 faces.", "hisd changes nothing here.",
      "stargan is disturbed: all of its 5 edits come out clearly different.", "retinaface no longer finds the face.",
      "stargan is not disturbed: none of its 5 edits comes out clearly different.",
      "retinaface still finds the face.",
      "&lt;b&gt;.png", "these generators: stargan; and these detectors:\nretinaface and mtcnn",
      "Face 1: PSNR 34.2 dB; edits disturbed: stargan 5/5, hisd 0/0",
      "retinaface: 1 found before, 0 of them after, 2 found where none is", "What stargan makes of it (Senior)",
    ] {
      XCTAssertTrue(html.contains(text), text)
    }
    XCTAssertFalse(html.contains("<b>"))
    // Nothing comes from elsewhere.
    XCTAssertFalse(html.contains("http"))
    XCTAssertFalse(html.contains("<script"))
    XCTAssertEqual(html.components(separatedBy: "data:image/jpeg;base64,").count - 1, 2 * 4)
  }

  /// All photos count; only so many are shown.
  func testManyPhotos() throws {
    var page = ProtectionPage(ProtectionPage.Purpose(generators: [], detectors: []))
    for number in 0..<ProtectionPage.shownPhotos + 3 {
      XCTAssertEqual(page.showsMore, number < ProtectionPage.shownPhotos)
      try page.add(account("\(number).jpg", broken: 1, stillFound: 0))
    }
    let html = try page.html()
    XCTAssertTrue(html.contains("103 photos in all"))
    XCTAssertTrue(html.contains("103 of its 515 edits"))
    XCTAssertTrue(html.contains("3 more photos are counted above, but not shown."))
    XCTAssertTrue(html.contains("<h2>99.jpg</h2>"))
    XCTAssertFalse(html.contains("<h2>100.jpg</h2>"))
  }
}
