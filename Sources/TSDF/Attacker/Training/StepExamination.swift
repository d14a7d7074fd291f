import Kernels
import Networks

/// What one critic step and one generator step of a model's own training do to given tensors, for parity checks: each against the
/// other network as it is.
/// - Parameters:
///   - start: the generator and the critic.
///   - input: tensors by name. `x_real` [N, 3, size, size] in [-1, 1]; StarGAN, AttentionGAN, AttGAN: `c_org` and `c_trg`
///     [N, attributes], 0 or 1, and `alpha` [N, 1, 1, 1], the share of the original where the critic's slope is looked at; HiSD:
///     `others` [N, attributes besides the tag's], `noise` [N, noise], `from` and `to`, numbers of answers.
///   - tag: HiSD's.
/// - Returns: the losses as scalars under `d.` and `g.`, with the weights of the model's authors; their gradients with respect to
///   the parameters under `D.grad.` and `G.grad.`; and the critic's parameters after one step of Adam at the authors' rate under
///   `D.after.`.
/// - Throws: `KernelsError.usage` without a critic.
package func examineTrainingStep(
  of start: TrainingStart, input: (String) throws -> Tensor, tag: Int, on device: any Device
) throws -> [String: Tensor] {
  guard start.critic != nil else { throw KernelsError.usage("a training step needs a critic") }
  var recipe = try TrainingRecipe(defaultsOf: start.model)
  let objective = try trainableType(start.model).objective.init(start, &recipe, device: device)
  return try examine(objective, recipe, input, tag)
}

private func examine(
  _ objective: some AdversarialObjective, _ recipe: TrainingRecipe, _ input: (String) throws -> Tensor, _ tag: Int
) throws -> [String: Tensor] {
  let losses = try objective.losses(of: input, tag: tag, recipe: recipe)
  var results: [String: Tensor] = [:]
  /// The gradients of a network's loss by parameter.
  func differentiate<N: Network>(_ network: N, _ prefix: String, _ loss: (N) throws -> TrainingLoss) throws -> [(
    name: String, value: Tensor, gradient: Tensor
  )] {
    let leaves = network.trainable.sorted { $0.key < $1.key }.map { ($0.key, $0.value.requiringGradient()) }
    let made = try loss(network.replacing(Dictionary(uniqueKeysWithValues: leaves)))
    for part in made.parts { results[part.name] = part.value.detached() }
    let found = try gradients(of: made.total, withRespectTo: leaves.map(\.1))
    for (leaf, gradient) in zip(leaves, found) { results["\(prefix).grad.\(leaf.0)"] = gradient }
    return zip(leaves, found).map { ($0.0, $0.1.detached(), $1) }
  }
  _ = try differentiate(objective.generator, "G", losses.generator)
  // Optimisers work in place.
  let steps = try differentiate(objective.critic, "D", losses.critic).map {
    (name: $0.name, value: try $0.value.copy(), gradient: $0.gradient)
  }
  try Adam(learningRate: recipe.learningRate, beta1: recipe.beta1, beta2: recipe.beta2).step(steps)
  for step in steps { results["D.after.\(step.name)"] = step.value }
  return results
}
