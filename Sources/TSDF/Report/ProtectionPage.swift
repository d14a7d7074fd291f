import Foundation
import Kernels
import Mustache
import Pictures

/// What was done to photos, as one HTML page that needs nothing else: each face before and after, what generators make of both, and in
/// plain words what is stopped and what is not.
package struct ProtectionPage: Sendable {
  /// How many photos are shown with pictures; all are counted.
  package static let shownPhotos = 100
  /// Pixels a side of faces' pictures at most.
  package static let cell = 320

  private var photos: [Page.Photo] = []
  private var counts = Counts()
  private let purpose: Purpose

  /// What photos were protected against.
  package struct Purpose: Sendable {
    /// Names of models.
    package var generators: [String], detectors: [String]

    package init(generators: [String], detectors: [String]) {
      (self.generators, self.detectors) = (generators, detectors)
    }
  }

  package init(_ purpose: Purpose) { self.purpose = purpose }

  /// Whether another photo would be shown with pictures.
  package var showsMore: Bool { photos.count < Self.shownPhotos }

  /// Adds a photo's account.
  /// - Throws: where a picture cannot be encoded.
  package mutating func add(_ account: PhotoAccount) throws {
    counts.add(account)
    guard showsMore else { return }
    photos.append(
      Page.Photo(
        name: account.name, sentences: Self.sentences(account), faces: try account.faces.map(Page.Face.init),
        figures: Self.figures(account)))
  }

  /// - Throws: where the template does not render.
  package func html() throws -> String {
    try MustacheTemplate(string: template).render(
      Page(
        photos: photos, count: counts.photos, noun: counts.photos == 1 ? "photo" : "photos",
        rest: counts.photos > photos.count ? counts.photos - photos.count : nil, summary: counts.sentences,
        generators: Self.list(purpose.generators), detectors: Self.list(purpose.detectors), version: tsdfVersion))
  }

  // MARK: Words

  private static func list(_ names: [String]) -> String {
    names.count < 2 ? names.first ?? "none" : names.dropLast().joined(separator: ", ") + " and " + names.last!
  }

  private static func sentences(_ account: PhotoAccount) -> [String] {
    var counts = Counts()
    counts.add(account)
    return counts.sentences
  }

  private static func figures(_ account: PhotoAccount) -> [String] {
    account.faces.enumerated().map { number, face in
      let edits = face.generators.map { "\($0.name) \($0.broken)/\($0.edits)" }.joined(separator: ", ")
      let psnr = face.psnr.isFinite ? String(format: "%.1f dB", face.psnr) : "unchanged"
      return "Face \(number + 1): PSNR \(psnr); edits disturbed: \(edits.isEmpty ? "none judged" : edits)"
    }
      + account.detectors.map {
        "\($0.name): \($0.found) found before, \($0.stillFound) of them after, \($0.invented) found where none is"
      }
  }

  /// What is added up over photos, in order of the models.
  private struct Counts: Sendable {
    var photos = 0
    private var generators: [(name: String, edits: Int, broken: Int)] = []
    private var detectors: [(name: String, found: Int, stillFound: Int)] = []

    mutating func add(_ account: PhotoAccount) {
      photos += 1
      for generator in account.faces.flatMap(\.generators) {
        let index = generators.firstIndex { $0.name == generator.name } ?? generators.endIndex
        if index == generators.endIndex { generators.append((generator.name, 0, 0)) }
        generators[index].edits += generator.edits
        generators[index].broken += generator.broken
      }
      for detector in account.detectors {
        let index = detectors.firstIndex { $0.name == detector.name } ?? detectors.endIndex
        if index == detectors.endIndex { detectors.append((detector.name, 0, 0)) }
        detectors[index].found += detector.found
        detectors[index].stillFound += detector.stillFound
      }
    }

    var sentences: [String] {
      generators.map { name, edits, broken in
        switch (broken, edits) {
        case (_, 0): "\(name) changes nothing here."
        case (0, _): "\(name) is not disturbed: none of its \(edits) edits comes out clearly different."
        case (edits, _): "\(name) is disturbed: all of its \(edits) edits come out clearly different."
        default: "\(name) is disturbed in part: \(broken) of its \(edits) edits come out clearly different."
        }
      }
        + detectors.map { name, found, stillFound in
          switch (stillFound, found) {
          case (_, 0): "\(name) finds no face in the original either."
          case (0, 1): "\(name) no longer finds the face."
          case (0, _): "\(name) no longer finds any of the \(found) faces."
          case (found, _): "\(name) still finds \(found == 1 ? "the face" : "all \(found) faces")."
          default: "\(name) still finds \(stillFound) of \(found) faces."
          }
        }
    }
  }

  // MARK: Parts

  fileprivate struct Page {
    var photos: [Photo]
    var count: Int, noun: String, rest: Int?
    var summary: [String]
    var generators: String, detectors: String, version: String

    struct Photo: Sendable {
      var name: String
      var sentences: [String]
      var faces: [Face]
      var figures: [String]
    }

    struct Face: Sendable {
      var pairs: [Pair]

      init(_ face: PhotoAccount.Face) throws {
        pairs = [try Pair("The photo", "the original", face.before, "the protected copy", face.after)]
        pairs += try face.generators.compactMap { generator in
          try generator.strongest.map {
            try Pair(
              "What \(generator.name) makes of it (\($0.name))", "of the original", $0.before, "of the copy", $0.after)
          }
        }
      }
    }

    struct Pair: Sendable {
      var title: String, beforeName: String, afterName: String
      var before: String, after: String

      init(_ title: String, _ beforeName: String, _ before: Image, _ afterName: String, _ after: Image) throws {
        (self.title, self.beforeName, self.afterName) = (title, beforeName, afterName)
        (self.before, self.after) = (try Self.uri(before), try Self.uri(after))
      }

      private static func uri(_ image: Image) throws -> String {
        "data:image/jpeg;base64," + (try encodeJPEG(image, quality: 92).base64EncodedString())
      }
    }
  }
}

/// Raw: only {{...}} is replaced.
private let template =
  pageHead(
    title: "What protection does to these photos",
    style: #"""
      h2 { font-size: 1.1rem; margin: 2.4rem 0 .4rem; overflow-wrap: anywhere; border-top: 1px solid var(--line); padding-top: 1.2rem; }
      ul { padding-left: 1.2rem; }
      .pairs { display: flex; flex-wrap: wrap; gap: 1rem; margin: .6rem 0; }
      figure { margin: 0; width: 18rem; max-width: 100%; }
      .pair { position: relative; aspect-ratio: 1; background: var(--line); }
      .pair img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; }
      .pair .after { clip-path: inset(0 0 0 var(--cut, 50%)); }
      .ends { display: flex; justify-content: space-between; font-size: .8rem; color: var(--soft); }
      input[type=range] { width: 100%; margin: .3rem 0 0; }
      """#) + #"""
    <body>
    <h1>What protection does to these photos</h1>
    <p>Each photo is shown twice under a slider: to the left of it the original, to the right the protected copy. Beside it is what a
    deepfake model makes of both. Where the right side is a wreck, the copy is of no use to that model; where it is only paler, darker or
    noisier, the model still does much of its work.</p>
    <p>{{count}} {{noun}} in all:</p>
    <ul>{{#summary}}<li>{{.}}</li>{{/summary}}</ul>
    <p><strong>What this does not say.</strong> Protection was made against these generators: {{generators}}; and these detectors:
    {{detectors}}. Of other models nothing is known. Whoever blurs a copy at his model's own size, compresses it hard, or retrains his
    model on many protected photos can undo much of it.</p>
    <p class="soft">This page holds the original faces. Keep it to yourself.</p>
    {{#photos}}
    <h2>{{name}}</h2>
    <ul>{{#sentences}}<li>{{.}}</li>{{/sentences}}</ul>
    {{#faces}}<div class="pairs">
    {{#pairs}}<figure><div class="pair"><img src="{{before}}" alt="{{title}}: {{beforeName}}"><img class="after" src="{{after}}" alt="{{title}}: {{afterName}}"></div>
    <input type="range" min="0" max="100" value="50" aria-label="{{title}}: how much of the original is shown" oninput="this.previousElementSibling.style.setProperty('--cut', this.value + '%')">
    <div class="ends"><span>{{beforeName}}</span><span>{{afterName}}</span></div><figcaption>{{title}}</figcaption></figure>
    {{/pairs}}</div>{{/faces}}
    <details><summary>Figures</summary><ul>{{#figures}}<li>{{.}}</li>{{/figures}}</ul></details>
    {{/photos}}
    {{#rest}}<p class="soft">{{.}} more photos are counted above, but not shown.</p>{{/rest}}
    <p class="soft">An edit counts as clearly different where its mean squared error, within what the edit changes, is above 0.05. Made by tsdf {{version}}.</p>
    </body>
    </html>
    """#
