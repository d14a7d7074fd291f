extension OpenCLDevice: ReductionKernels {
  package func reduce(_ operation: ReductionOperation, _ x: Buffer, into y: Buffer, outer: Int, length: Int, inner: Int)
    throws
  {
    if inner > 1 {
      try launch(
        .reduce, "\(operation.rawValue)_middle", .elements, global: [inner, outer], .buffer(x), .buffer(y),
        .uint(outer), .uint(length), .uint(inner))
      return
    }
    // Long rows are cut into chunks that groups of work-items fold side by side, then the chunks are folded.
    var (source, remaining) = (x, length)
    while true {
      let chunk = outer >= 64 || remaining <= 8192 ? remaining : max(4096, (remaining + 255) / 256)
      let chunks = (remaining + chunk - 1) / chunk
      let target = chunks == 1 ? y : try allocate(outer * chunks)
      try launch(
        .reduce, "\(operation.rawValue)_rows", .groups(upTo: 256), global: [chunks, outer], .buffer(source),
        .buffer(target), .localPerItem(4), .uint(outer), .uint(remaining), .uint(chunk))
      if chunks == 1 { return }
      (source, remaining) = (target, chunks)
    }
  }
}
