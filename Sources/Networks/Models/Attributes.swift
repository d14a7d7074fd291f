/// Attributes that exclude each other: where one is switched on, the others are switched off. The age bands of the
/// development faces, hair colours, hair shapes, beards, and bald heads with bangs, as AttGAN's authors have it.
private let exclusiveGroups: [Set<String>] = [
  ["Child", "Young", "Middle", "Senior"], ["Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"],
  ["Straight_Hair", "Wavy_Hair"], ["Mustache", "No_Beard"], ["Bald", "Bangs"], ["Receding_Hairline", "Bangs"],
]

/// Groups of which a face always has one: to ask for an attribute that it has leaves it on.
private let exhaustiveGroup: Set = ["Child", "Young", "Middle", "Senior"]

/// The attributes of one edit: an age band is switched on, any other attribute inverted; what excludes an attribute that
/// is then on is switched off.
package func editCondition(_ attributes: [String], labels: [Float], toggling index: Int) -> [Float] {
  var condition = labels
  let name = attributes[index]
  let isBand = exhaustiveGroup.contains(name) && attributes.filter(exhaustiveGroup.contains).count > 1
  condition[index] = isBand ? 1 : 1 - condition[index]
  if condition[index] == 1 {
    for group in exclusiveGroups where group.contains(name) {
      for other in attributes.indices where other != index && group.contains(attributes[other]) { condition[other] = 0 }
    }
  }
  return condition
}

/// The labels, 0 or 1, that logits speak for: of attributes that exclude each other only the likeliest counts, and of those of which a
/// face always has one, the likeliest does.
package func labels(logits: [Float], of attributes: [String]) -> [Float] {
  attributes.indices.map { index in
    let name = attributes[index]
    let rivals = attributes.indices.filter { other in
      exclusiveGroups.contains { $0.contains(name) && $0.contains(attributes[other]) }
    }
    let isLikeliest = rivals.allSatisfy { logits[$0] <= logits[index] }
    return isLikeliest && (logits[index] > 0 || exhaustiveGroup.contains(name) && rivals.count > 1) ? 1 : 0
  }
}
