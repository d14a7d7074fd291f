extension OpenCLDevice: OptimizerKernels {
  package func adamStep(
    _ gradient: Buffer, scale: Buffer, parameter: Buffer, m: Buffer, v: Buffer, count: Int, _ step: AdamStep
  ) throws {
    try launch(
      .optimise, "adam_step", .elements, global: [count], .buffer(gradient), .buffer(scale), .buffer(parameter),
      .buffer(m), .buffer(v), .uint(count), .float(step.learningRate), .float(step.beta1), .float(step.beta2),
      .float(step.epsilon), .float(step.correction1), .float(step.correction2))
  }

  package func signStep(
    _ gradient: Buffer, scale: Buffer, centre: Buffer, parameter: Buffer, m: Buffer, count: Int, stepSize: Float,
    momentum: Float, bound: Float
  ) throws {
    try launch(
      .optimise, "sign_step", .elements, global: [count], .buffer(gradient), .buffer(scale), .buffer(centre),
      .buffer(parameter), .buffer(m), .uint(count), .float(stepSize), .float(momentum), .float(bound))
  }
}
