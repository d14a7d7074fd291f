/// What detectors are to be made to do.
public enum DetectorGoal: String, Codable, CaseIterable, Sendable {
  /// Miss the true faces.
  case hide
  /// Find faces where there are none.
  case flood
  /// Miss the true faces and find others.
  case both
}
