extension CPUDevice: OptimizerKernels {
  package func adamStep(
    _ gradient: Buffer, scale: Buffer, parameter: Buffer, m: Buffer, v: Buffer, count: Int, _ step: AdamStep
  ) throws {
    let (gradient, parameter, m, v) = try (gradient.floats, parameter.floats, m.floats, v.floats)
    let scale = try scale.floats[0]
    parallel(count, grain: 4096) { range in
      for i in range {
        let g = gradient[i] * scale
        m[i] = step.beta1 * m[i] + (1 - step.beta1) * g
        v[i] = step.beta2 * v[i] + (1 - step.beta2) * g * g
        let denominator = v[i].squareRoot() / step.correction2.squareRoot() + step.epsilon
        parameter[i] -= step.learningRate / step.correction1 * m[i] / denominator
      }
    }
  }

  package func signStep(
    _ gradient: Buffer, scale: Buffer, centre: Buffer, parameter: Buffer, m: Buffer, count: Int, stepSize: Float,
    momentum: Float, bound: Float
  ) throws {
    let (gradient, centre, parameter, m) = try (gradient.floats, centre.floats, parameter.floats, m.floats)
    let scale = try scale.floats[0]
    parallel(count, grain: 4096) { range in
      for i in range {
        m[i] = momentum * m[i] + gradient[i] * scale
        let step = m[i] > 0 ? stepSize : (m[i] < 0 ? -stepSize : 0)
        parameter[i] = min(max(parameter[i] - step, centre[i] - bound), centre[i] + bound)
      }
    }
  }
}
