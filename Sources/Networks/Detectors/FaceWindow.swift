/// A window that was taken for a face, in whole pixels.
package struct FaceWindow: Equatable, Sendable {
  package let x: Int, y: Int, width: Int, height: Int

  package init(x: Int, y: Int, width: Int, height: Int) {
    (self.x, self.y, self.width, self.height) = (x, y, width, height)
  }

  /// Whether both are of one face: no edge is further from the other's than a fifth of the smaller sides.
  fileprivate func isAlike(_ other: FaceWindow) -> Bool {
    let reach = share * Double(min(width, other.width) + min(height, other.height)) / 2
    func isNear(_ a: Int, _ b: Int) -> Bool { Double(abs(a - b)) <= reach }
    return isNear(x, other.x) && isNear(y, other.y) && isNear(x + width, other.x + other.width)
      && isNear(y + height, other.y + other.height)
  }

  /// Whether it lies in another one, or not much outside.
  fileprivate func lies(in other: FaceWindow) -> Bool {
    let across = Int((Double(other.width) * share).rounded(.toNearestOrEven))
    let down = Int((Double(other.height) * share).rounded(.toNearestOrEven))
    return x >= other.x - across && y >= other.y - down && x + width <= other.x + other.width + across
      && y + height <= other.y + other.height + down
  }
}

/// How far edges of one face may be apart, as a share of sides.
private let share = 0.2

/// Windows that are alike, or linked by others that are, become their mean, with their count; those of few windows go, and those
/// within one of more (OpenCV's `groupRectangles`).
package func groupedWindows(_ windows: [FaceWindow], moreThan least: Int) -> [(window: FaceWindow, count: Int)] {
  // Each window leads to another of its group, in the end to one that leads to itself.
  var parents = Array(windows.indices)
  func root(_ window: Int) -> Int {
    var window = window
    while parents[window] != window {
      parents[window] = parents[parents[window]]
      window = parents[window]
    }
    return window
  }
  for later in windows.indices {
    for earlier in 0..<later where windows[later].isAlike(windows[earlier]) {
      let (a, b) = (root(earlier), root(later))
      parents[max(a, b)] = min(a, b)
    }
  }
  var members: [Int: [Int]] = [:]
  for window in windows.indices { members[root(window), default: []].append(window) }
  let groups = members.sorted { $0.key < $1.key }.map(\.value).filter { $0.count > least }.map { group in
    let weight = 1 / Float(group.count)
    func mean(_ value: KeyPath<FaceWindow, Int>) -> Int {
      Int((Float(group.reduce(0) { $0 + windows[$1][keyPath: value] }) * weight).rounded(.toNearestOrEven))
    }
    return (
      window: FaceWindow(x: mean(\.x), y: mean(\.y), width: mean(\.width), height: mean(\.height)), count: group.count
    )
  }
  return groups.indices.filter { index in
    let (window, count) = groups[index]
    return !groups.indices.contains { other in
      other != index && window.lies(in: groups[other].window)
        && (groups[other].count > max(3, count) || count < 3)
    }
  }.map { groups[$0] }
}
