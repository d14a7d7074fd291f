import Foundation
import Kernels
import Networks
import Pictures

/// How often a classifier is right on labelled faces: the mean, over those that have an attribute and over those that have not, of the
/// share for which it says so, attribute by attribute.
package func attributeAccuracies(_ classifier: AttributeClassifier, on faces: FaceSet, device: any Device) throws
  -> [Double]
{
  let count = classifier.attributes.count
  var (right, all) = ([[Int]](repeating: [0, 0], count: count), [[Int]](repeating: [0, 0], count: count))
  for first in stride(from: 0, to: faces.count, by: 32) {
    let indices = Array(first..<min(first + 32, faces.count))
    let logits = try Autograd.withoutRecording { try classifier(faces.batch(indices, on: device)).values() }
    for (row, index) in indices.enumerated() {
      let labels = faces.labels(of: index, named: classifier.attributes)
      for attribute in labels.indices {
        let side = labels[attribute] == 1 ? 1 : 0
        all[attribute][side] += 1
        if (logits[row * count + attribute] > 0) == (side == 1) { right[attribute][side] += 1 }
      }
    }
  }
  return zip(right, all).map { right, all in
    let shares = zip(right, all).filter { $1 > 0 }.map { Double($0) / Double($1) }
    return shares.reduce(0, +) / Double(shares.count)
  }
}
