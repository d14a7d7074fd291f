import Foundation
import Kernels
import Networks
import Pictures
import TestSupport
import XCTest

final class HaarTests: XCTestCase {
  /// A part of the astronaut's photo, and what OpenCV 4.12 finds in it: x, y, side, and how many windows agree.
  private struct Case {
    var x = 0, y = 0, width = 512, height = 512
    var faces: [[Int]]
  }

  private let cases = [
    Case(faces: [[177, 66, 95, 40]]), Case(width: 301, height: 437, faces: [[177, 66, 95, 41]]),
    Case(x: 61, y: 7, width: 337, height: 293, faces: [[115, 59, 97, 48]]),
    Case(width: 23, height: 200, faces: []), Case(width: 1, height: 1, faces: []),
  ]

  func testAgainstOpenCV() throws {
    let photo = try ImageFile(contentsOf: projectURL("photos/astronaut.png")).image
    let device = CPUDevice()
    let haar = try loadFinder("haar", from: projectURL("models"), on: device)
    func check(_ image: Tensor, _ expected: [[Int]], _ name: String, line: UInt = #line) throws {
      let found = try haar.detect(image, threshold: defaultDetectionThreshold)
      XCTAssertEqual(
        found.map { face in
          let count = Int((face.score / (1 - face.score)).rounded())
          return [Int(face.box.x0), Int(face.box.y0), Int(face.box.width), count]
        }, expected, name, line: line)
      XCTAssertEqual(found.map(\.box.width), found.map(\.box.height), name, line: line)
    }
    for expected in cases {
      let part = photo.cropped(x: expected.x, y: expected.y, width: expected.width, height: expected.height)
      try check(part.tensor(on: device), expected.faces, "\(expected)")
    }
    // Two side by side: each best first, and a false one below them.
    let part = try photo.cropped(x: 61, y: 7, width: 337, height: 293).tensor(on: device)
    try check(
      Tensor.concatenated([part, part], axis: 3), [[451, 59, 97, 43], [114, 57, 98, 40], [226, 120, 126, 6]], "twice")
    try check(ImageFile(contentsOf: projectURL("photos/coffee.png")).image.tensor(on: device), [], "coffee")
    // A higher threshold asks for more windows: of 40 the score is 0.976.
    XCTAssertEqual(try haar.detect(photo.tensor(on: device), threshold: 0.97).count, 1)
    XCTAssertEqual(try haar.detect(photo.tensor(on: device), threshold: 0.98).count, 0)
    XCTAssertThrowsError(try haar.detect(Tensor(repeating: 0, shape: [1, 1, 50, 50], device: device), threshold: 0.5))
  }

  /// A face on its own is found once at the size of the whole photo, however large that is.
  func testLargePhoto() throws {
    let device = CPUDevice()
    let photo = try ImageFile(contentsOf: projectURL("photos/astronaut.png")).image
    let haar = try loadFinder("haar", from: projectURL("models"), on: device)
    let faces = try haar.detectAll(in: photo, on: device).map(\.box)
    XCTAssertEqual(faces, [Box(x0: 177, y0: 66, x1: 272, y1: 161)])
    XCTAssertEqual(try haar.faceSquares(in: photo, on: device).map(\.width), [143])
  }

  func testItOnlyJudges() throws {
    XCTAssertFalse(detectorNames.contains("haar"))
    XCTAssertTrue(finderNames.contains("haar"))
    XCTAssertThrowsError(try loadDetector("haar", from: projectURL("models"), on: CPUDevice())) {
      XCTAssertTrue("\($0)".contains("haar: only judges"), "\($0)")
    }
    XCTAssertThrowsError(try loadFinder("haar", from: projectURL("docs"), on: CPUDevice())) {
      XCTAssertTrue("\($0)".contains("haar.xml: does not exist; tools/fetch-models gets it"), "\($0)")
    }
    XCTAssertEqual(try finderFile("haar", in: projectURL("models")).lastPathComponent, "haar.xml")
    XCTAssertThrowsError(try loadFinder("magic", from: projectURL("models"), on: CPUDevice())) {
      XCTAssertTrue("\($0)".contains("magic: is no detector; there are retinaface"), "\($0)")
    }
  }

  func testGroups() {
    func windows(_ count: Int, _ x: Int, _ side: Int) -> [FaceWindow] {
      (0..<count).map { FaceWindow(x: x + $0, y: 0, width: side, height: side) }
    }
    func grouped(_ windows: [FaceWindow]) -> [[Int]] {
      groupedWindows(windows, moreThan: 3).map { [$0.window.x, $0.window.width, $0.count] }
    }
    XCTAssertEqual(grouped([]), [])
    // Three are too few, four enough; means are rounded to the even number.
    XCTAssertEqual(grouped(windows(3, 0, 40) + windows(4, 100, 40)), [[102, 40, 4]])
    // Each is near the next, the last far from the first.
    XCTAssertEqual(grouped(windows(31, 0, 40)), [[15, 40, 31]])
    // Windows within a face of more windows go, those within one of fewer stay.
    XCTAssertEqual(grouped(windows(5, 10, 40) + windows(8, 0, 100)), [[4, 100, 8]])
    XCTAssertEqual(grouped(windows(8, 10, 40) + windows(5, 0, 100)), [[14, 40, 8], [2, 100, 5]])
  }

  /// A cascade of one stage and one tree on the difference of a window's halves.
  private func cascade(
    type: String = "opencv-cascade-classifier", feature: String = "HAAR", width: String = "8",
    stages: String = "0 -1 0 0.5", leaves: String = "-1. 1.",
    rectangles: String = "<_>0 0 8 8 -1.</_><_>0 0 4 8 2.</_>",
    tilted: String = "", threshold: String = "0."
  ) -> String {
    """
    <?xml version="1.0"?><opencv_storage><cascade type_id="\(type)"><stageType>BOOST</stageType>
    <featureType>\(feature)</featureType><height>8</height><width>\(width)</width><stages><_>
    <stageThreshold>\(threshold)</stageThreshold><weakClassifiers><_><internalNodes>\(stages)</internalNodes>
    <leafValues>\(leaves)</leafValues></_></weakClassifiers></_></stages><features><_><rects>\(rectangles)</rects>
    \(tilted)</_></features></cascade></opencv_storage>
    """
  }

  func testHostileFiles() throws {
    func message(_ text: String) -> String {
      do {
        _ = try Haar(Data(text.utf8), path: "the file")
        return "none"
      } catch { return "\(error)" }
    }
    XCTAssertEqual(message(cascade()), "none")
    XCTAssertEqual(message(cascade(tilted: "<tilted>0</tilted>")), "none")
    let entities = "<!DOCTYPE a [<!ENTITY b \"c\"><!ENTITY d \"&b;&b;\">]>"
    let deep = String(repeating: "<a>", count: 1000) + String(repeating: "</a>", count: 1000)
    for (text, expected) in [
      ("", "is no XML"), ("\0\u{1}", "is no XML"), ("<opencv_storage>", "is no XML"),
      ("<a\n><b></c></a>", "in line 2 it ends c"),
      ("<a b=c/>", "has no quotes"), ("<a b=\"c", "within an element"), ("<a b/>", "no attribute"),
      ("< a/>", "has no name"),
      ("<!-- ", "within a comment"), ("<opencv\u{f0}/>", "outermost element is opencv"), (deep, "more than 32 deep"),
      (entities + "<a>&d;</a>", "has declarations of its own"), ("<svg/>", "outermost element is svg"),
      ("<opencv_storage/>", "outermost element is opencv_storage"),
      (cascade(type: "opencv-haar-classifier"), "since version 2.4"),
      (cascade(feature: "LBP"), "the cascade has the featureType LBP, not HAAR"),
      (cascade(width: "1e30"), "has a width out of 4 to 256"), (cascade(width: "0"), "has a width out of"),
      (cascade(width: "8 8"), "has a width of 2 numbers"), (cascade(width: "nan"), "has nan for a number"),
      (cascade(rectangles: "<_>0 0 9 8 -1.</_>"), "feature 1, rectangle 1 is none in a window of 8x8"),
      (cascade(rectangles: "<_>-1 0 4 8 -1.</_>"), "is none in a window"),
      (cascade(rectangles: "<_>0 0 4 1e300 -1.</_>"), "has 1e300 for a number"),
      (cascade(rectangles: String(repeating: "<_>0 0 4 4 1.</_>", count: 4)), "has 4 rectangles, more than 3"),
      (cascade(rectangles: ""), "feature 1 has no rects"), (cascade(tilted: "<tilted>1</tilted>"), "tilted rectangles"),
      (cascade(stages: "0 -1 1 0.5"), "stage 1, tree 1 asks for a feature"),
      (cascade(stages: "0 -1 -1 0.5"), "asks for a feature"), (cascade(stages: "0 -2 0 0.5"), "leads nowhere"),
      (cascade(stages: "1 -1 0 0.5"), "leads nowhere"), (cascade(stages: "1 -1 0 0.5 0 1 0 0.5"), "leads nowhere"),
      (cascade(stages: ""), "four numbers each"), (cascade(stages: "0 -1 0"), "four numbers each"),
      (cascade(leaves: ""), "leads nowhere"), (cascade(threshold: ""), "has a stageThreshold of 0 numbers"),
      (cascade(stages: String(repeating: "0 -1 0 0.5 ", count: 12001)), "more than 12000 nodes"),
    ] {
      let found = message(text)
      XCTAssertTrue(found.hasPrefix("the file: ") && found.contains(expected), "\(text.prefix(300)): \(found)")
    }
  }

  /// A cascade that takes everything for a face is refused, not waited for.
  func testTooManyWindows() throws {
    let device = CPUDevice()
    var random = RandomStream(seed: 5)
    let noise = try random.uniform([1, 3, 600, 600], in: -1..<1, device: device)
    let all = try Haar(Data(cascade(leaves: "1. 1.").utf8), path: "the file")
    XCTAssertThrowsError(try all.detect(noise, threshold: 0.5)) {
      XCTAssertTrue("\($0)".contains("the file: takes more than 65536 windows"), "\($0)")
    }
    let none = try Haar(Data(cascade(leaves: "-1. -1.").utf8), path: "the file")
    XCTAssertEqual(try none.detect(noise, threshold: 0.5), [])
  }
}
