import Kernels

/// The intensity-separation mask of equation 15: M = exp(-beta |W0|) [|W0| < tau]. Strong pixels keep interrupting; weak
/// ones may be repurposed to poison, the weaker the more.
package func intensitySeparationMask(_ perturbation: Tensor, tau: Float = 0.040, beta: Float = 5) throws -> Tensor {
  let magnitude = try perturbation.abs()
  let isWeak = try Tensor(repeating: tau, shape: [1], device: perturbation.device).greater(than: magnitude)
  return try (magnitude * -beta).exp() * isWeak
}
