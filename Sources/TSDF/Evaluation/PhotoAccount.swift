import Kernels
import Networks
import Pictures

/// What a protection does to one photo, in pictures and figures for people.
package struct PhotoAccount: Sendable {
  /// The photo's name, for people.
  package var name: String
  package var faces: [Face]
  package var detectors: [DetectorAccount]

  package init(name: String, faces: [Face], detectors: [DetectorAccount]) {
    (self.name, self.faces, self.detectors) = (name, faces, detectors)
  }

  package struct Face: Sendable {
    /// The face's square, before and after.
    package var before: Image, after: Image
    /// In dB; infinite where nothing changed.
    package var psnr: Double
    package var generators: [GeneratorAccount]

    package init(before: Image, after: Image, psnr: Double, generators: [GeneratorAccount]) {
      (self.before, self.after, self.psnr, self.generators) = (before, after, psnr, generators)
    }
  }

  package struct GeneratorAccount: Sendable {
    package var name: String
    /// Edits that change the face, and those of them that break: whose mean squared error, within what the edit changes, is above 0.05.
    package var edits: Int, broken: Int
    /// The edit that changes the face most: its name, and what is made of the face before and after; nil where none changes it.
    package var strongest: (name: String, before: Image, after: Image)?

    package init(name: String, edits: Int, broken: Int, strongest: (name: String, before: Image, after: Image)?) {
      (self.name, self.edits, self.broken, self.strongest) = (name, edits, broken, strongest)
    }
  }

  package struct DetectorAccount: Sendable {
    package var name: String
    /// Faces found in the original; those of them still found; finds in the protected photo where none was before.
    package var found: Int, stillFound: Int, invented: Int

    package init(name: String, found: Int, stillFound: Int, invented: Int) {
      (self.name, self.found, self.stillFound, self.invented) = (name, found, stillFound, invented)
    }
  }
}

extension Evaluator {
  /// What was made of a photo.
  /// - Parameter cell: pixels a side of faces' pictures at most.
  package func account(of judgement: Judgement, cell: Int) throws -> PhotoAccount {
    let (photo, clean, seen, image) = (judgement.photo, judgement.clean, judgement.seen, judgement.protected)
    let faces = try photo.faces.enumerated().map { number, square in
      let (before, after) = (photo.image.cropped(to: square), image.cropped(to: square))
      func shown(_ image: Image) throws -> Image {
        image.width <= cell ? image : try squareImage(image, size: cell, device: device)
      }
      return PhotoAccount.Face(
        before: try shown(before), after: try shown(after), psnr: psnr(after.planes(), before.planes()),
        generators: generators.indices.map { account(of: $0, face: number, clean, seen) })
    }
    let detectors = detectors.enumerated().map { index, detector in
      let (before, after) = (clean.detections[index].map(\.box), seen.detections[index].map(\.box))
      let matches = matchCount(before, after, threshold: 0.5)
      return PhotoAccount.DetectorAccount(
        name: detector.name, found: before.count, stillFound: matches, invented: after.count - matches)
    }
    return PhotoAccount(name: photo.name, faces: faces, detectors: detectors)
  }

  private func account(of index: Int, face: Int, _ clean: Look, _ seen: Look) -> PhotoAccount.GeneratorAccount {
    let (name, generator) = generators[index]
    let side = generator.imageSize
    let own = generator.edits.indices.map { face * generator.edits.count + $0 }
    var metrics = InterruptionMetrics()
    for edit in own {
      let (before, after) = (clean.edits[index][edit], seen.edits[index][edit])
      metrics.add(
        original: before.input, edit: before.output, protectedEdit: after.output, height: side, width: side)
    }
    func picture(_ look: Look, _ edit: Int) -> Image {
      Image(planes: look.edits[index][edit].output, width: side, height: side)
    }
    let strongest = metrics.count == 0 ? nil : strongestEdit(of: index, face: face, in: clean)
    return PhotoAccount.GeneratorAccount(
      name: name, edits: metrics.count,
      broken: metrics.count == 0 ? 0 : Int((metrics.successRate * Double(metrics.count)).rounded()),
      strongest: strongest.map { edit in
        (generator.edits[edit - own[0]], picture(clean, edit), picture(seen, edit))
      })
  }
}
