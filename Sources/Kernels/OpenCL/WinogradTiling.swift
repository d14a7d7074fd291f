/// The 4x4 tiles of an output, counted as the `tiles` section of kernels.cl does: its Tiling, in chunks of panels.
struct WinogradTiling: KernelStructure {
  let images: Int, rows: Int
  /// Tiles a row: a multiple of 4 where that wastes little, so that whole vectors are read.
  let pitch: Int
  /// What a kernel reads or writes in these tiles, and the panels that it works on.
  private var channels = 0, height = 0, width = 0, firstPanel = 0, chunk = 0

  /// - Parameters:
  ///   - height, width: of the output.
  init(images: Int, height: Int, width: Int) {
    self.images = images
    rows = (height + 3) / 4
    let columns = (width + 3) / 4
    pitch = columns >= 3 ? (columns + 3) / 4 * 4 : columns
  }

  /// These tiles for a kernel that works on some panels of images of so many channels, height and width.
  func of(_ channels: Int, _ height: Int, _ width: Int, _ panels: Range<Int>) -> WinogradTiling {
    var result = self
    (result.channels, result.height, result.width) = (channels, height, width)
    (result.firstPanel, result.chunk) = (panels.lowerBound, panels.count)
    return result
  }

  var panels: Int {
    (images * rows * pitch + KernelParameters.tileColumns - 1) / KernelParameters.tileColumns
  }

  /// Ranges of panels whose scratch of `perPanel` floats a panel stays small.
  func chunks(perPanel: Int, scratch: Int) -> [Range<Int>] {
    let size = max(1, scratch / perPanel)
    let count = (panels + size - 1) / size
    return (0..<count).map { panels * $0 / count..<panels * ($0 + 1) / count }
  }

  static let kernelName = "Tiling"
  static let kernelFields: [KernelField<WinogradTiling>] = [
    ("images", { $0.images }), ("channels", { $0.channels }), ("height", { $0.height }), ("width", { $0.width }),
    ("rows", { $0.rows }),
    ("pitch", { $0.pitch }), ("firstPanel", { $0.firstPanel }), ("panels", { $0.chunk }),
  ]
}
