import Pictures

/// What a variant does, over all photos judged.
public struct VariantReport: Encodable, Sendable {
  public var variant: String
  /// What the protected photos were put through, as a `PurificationRecipe` is written; nil for nothing.
  public var attack: String?
  public var photos: Int, faces: Int
  public var refineSteps: Int
  /// Between original and protected faces.
  public var watermarkPSNR: Double, watermarkSSIM: Double
  /// Nil without LPIPS's weights.
  public var watermarkLPIPS: Double?
  /// The mean SR_mask of the generators that it was not made against; nil where there is none, or that is not known.
  public var transfer: Double?
  public var generators: [GeneratorReport]
  public var detectors: [DetectorReport]

  public struct GeneratorReport: Encodable, Sendable {
    public var name: String
    /// Edits judged, and edits that changed nothing and so were left out.
    public var edits: Int, emptyMasks: Int
    public var l2Mask: Double, successRate: Double
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

  public struct DetectorReport: Encodable, Sendable {
    public var name: String
    /// Images judged, and those in which the detector finds no face even unprotected.
    public var images: Int, withoutFace: Int
    public var precision: Double, recall: Double, f1: Double, duq: Double
    public var confidenceChange: Double, boxCountChange: Double
  }
}
