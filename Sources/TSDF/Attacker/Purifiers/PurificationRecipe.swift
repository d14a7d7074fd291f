import Foundation

/// Where a purifier looks at a picture.
public enum PurifierPlace: String, CaseIterable, Sendable {
  /// As it is stored, before anything is cut out or brought to another size.
  case photo
  /// As a network gets it.
  case network
}

/// An attack on pictures without training: purifiers, one after another. Written `NAME:STRENGTH@PLACE`, joined by `+`:
/// `resize:0.5@photo+jpeg:75`. The place is the network's where none is named.
public struct PurificationRecipe: Hashable, Sendable {
  /// As it was written.
  public let name: String
  let steps: [Step]

  struct Step: Hashable, Sendable {
    var kind: Kind
    var place: PurifierPlace

    /// The file of a denoiser; nil for what is none.
    /// - Parameter unnamed: which one is meant where none is named.
    func denoiser(unnamed: URL) -> URL? {
      if case .denoiser(let path) = kind { path.map { URL(fileURLWithPath: $0) } ?? unnamed } else { nil }
    }
  }

  enum Kind: Hashable, Sendable {
    /// One of `purifierTypes`, by its number.
    case purifier(type: Int, strength: Float)
    /// What is common to this many other protected pictures is taken off.
    case average(count: Int)
    /// A picture's share of the first principal component of this many others is taken off.
    case component(count: Int)
    /// A denoiser's network, from a file or, where none is named, the one that whoever looks through it means.
    case denoiser(path: String?)
  }

  private static let averageName = "average", componentName = "component", denoiserName = "denoise"

  /// The purifiers and their strengths, for help.
  package static let help =
    purifierTypes.map {
      "\($0.name):\(text($0.strengths.lowerBound, of: $0)) to \(text($0.strengths.upperBound, of: $0))"
    }
    .joined(separator: ", ") + ", \(averageName):N, \(componentName):N, \(denoiserName) or \(denoiserName):FILE"

  /// - Throws: `PurifierError` that says what is wrong with the text.
  public init(_ text: String) throws(PurifierError) {
    name = text
    var steps: [Step] = []
    for part in text.split(separator: "+", omittingEmptySubsequences: false) {
      let halves = part.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard let place = halves.count < 2 ? .network : PurifierPlace(rawValue: halves[1]) else {
        throw PurifierError("\(part) names the place \(halves[1]); there are photo and network")
      }
      steps.append(Step(kind: try Self.kind(halves[0]), place: place))
    }
    self.steps = steps
  }

  /// The items of a list separated by commas.
  /// - Throws: `PurifierError` that says what is wrong with one.
  public static func list(_ text: String) throws(PurifierError) -> [PurificationRecipe] {
    var items: [PurificationRecipe] = []
    for item in text.split(separator: ",") { items.append(try PurificationRecipe(String(item))) }
    return items
  }

  private static func kind(_ text: String) throws(PurifierError) -> Kind {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    let argument = parts.count > 1 ? parts[1] : nil
    if parts[0] == denoiserName { return .denoiser(path: argument) }
    if parts[0] == averageName || parts[0] == componentName {
      guard let count = argument.flatMap({ Int($0) }), (1...100_000).contains(count) else {
        throw PurifierError("\(text) does not say how many pictures to learn from: \(parts[0]):12")
      }
      return parts[0] == averageName ? .average(count: count) : .component(count: count)
    }
    guard let number = purifierTypes.firstIndex(where: { $0.name == parts[0] }) else {
      throw PurifierError("there is no purifier \(parts[0]); there are \(help)")
    }
    let type = purifierTypes[number]
    guard let strength = argument.flatMap({ Float($0) }), type.strengths.contains(strength),
      !type.takesWholeNumbers || strength == strength.rounded()
    else {
      throw PurifierError(
        "\(text) needs a \(type.takesWholeNumbers ? "whole number" : "number") from "
          + "\(self.text(type.strengths.lowerBound, of: type)) to \(self.text(type.strengths.upperBound, of: type))")
    }
    _ = try type.init(strength)
    return .purifier(type: number, strength: strength)
  }

  private static func text(_ value: Float, of type: any Purifier.Type) -> String {
    value == value.rounded() ? "\(Int(value))" : "\(value)"
  }

  /// How many other protected pictures it learns from.
  public var othersNeeded: Int {
    steps.map {
      switch $0.kind {
      case .average(let count), .component(let count): count
      case .purifier, .denoiser: 0
      }
    }.max() ?? 0
  }

  /// Whether it needs other protected pictures.
  public var learnsFromOthers: Bool { othersNeeded > 0 }

  /// What it does, whatever its denoisers' files are called and whichever is meant where none is named.
  /// - Parameters:
  ///   - unnamed: the file of the denoiser that is meant where none is named.
  ///   - digest: tells files by their contents.
  package func identity(unnamed: URL, digest: (URL) throws -> String) rethrows -> String {
    try steps.map { step in
      let what =
        switch step.kind {
        case .purifier(let type, let strength): "\(purifierTypes[type].name):\(strength)"
        case .average(let count): "\(Self.averageName):\(count)"
        case .component(let count): "\(Self.componentName):\(count)"
        case .denoiser: try "\(Self.denoiserName):\(digest(step.denoiser(unnamed: unnamed)!))"
        }
      return "\(what)@\(step.place)"
    }.joined(separator: "+")
  }

  /// Whether it looks at pictures at a place.
  func works(at place: PurifierPlace) -> Bool { steps.contains { $0.place == place } }
}
