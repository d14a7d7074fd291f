import Pictures

/// What a variant does, over all photos judged.
public struct VariantReport: Encodable, Sendable {
  /// The variant's name.
  public var variant: String
  /// What the protected photos were put through, as a `PurificationRecipe` is written; nil for nothing.
  public var attack: String?
  /// Photos judged, and faces in them.
  public var photos: Int, faces: Int
  /// Gradient steps for each face.
  public var refineSteps: Int
  /// Between original and protected faces.
  public var watermarkPSNR: Double, watermarkSSIM: Double
  /// Nil without LPIPS's weights.
  public var watermarkLPIPS: Double?
  /// The mean SR_mask of the generators that it was not made against; nil where there is none, or that is not known.
  public var transfer: Double?
  /// One for each generator judged.
  public var generators: [GeneratorReport]
  /// One for each detector judged.
  public var detectors: [DetectorReport]

  /// How far a generator's edits break; figures as in `InterruptionMetrics`.
  public struct GeneratorReport: Encodable, Sendable {
    /// The generator's name.
    public var name: String
    /// Edits judged, and edits that changed nothing and so were left out.
    public var edits: Int, emptyMasks: Int
    /// The mean squared change inside the edited region, and the share of edits where it is above 0.05.
    public var l2Mask: Double, successRate: Double
    /// Means between the edits of the originals and of the protected; PSNR in dB, over edits that changed at all.
    public var ssim: Double, psnr: Double
    /// Frechet inception distance between the edits of the originals and of the protected; nil without Inception's
    /// weights.
    public var fid: Double?
    /// Between the edits of the originals and of the protected: LPIPS, and the cosine of the faces' identities; nil without
    /// the networks.
    public var lpips: Double?, identity: Double?
    /// What is kept over the probes of `robustnessProbes`: the mean of L2mask after each over L2mask before, at most 1 each. Only
    /// where these were asked for.
    public var robustness: Double?
  }

  /// The name under which detectors, where there are several, are reported together: a face that any of them finds is found.
  public static let anyDetector = "any detector"

  /// How far a detector fails; figures as in `DetectionMetrics`.
  public struct DetectorReport: Encodable, Sendable {
    /// The detector's name, or `anyDetector`.
    public var name: String
    /// Images judged, and those in which the detector finds no face even unprotected.
    public var images: Int, withoutFace: Int
    /// Precision, recall and F1 in percent; the data usability quotient, at most 1.
    public var precision: Double, recall: Double, f1: Double, duq: Double
    /// The change of the mean score of a box, and of the number of boxes in percent.
    public var confidenceChange: Double, boxCountChange: Double
  }
}
