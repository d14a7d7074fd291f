import Kernels

/// The pictures inside a HEIC or AVIF file, as far as it matters how large they become: what each is made of, and where its data
/// lies (ISO/IEC 14496-12 and 23008-12). libheif takes the size of a grid, an overlay or a coded picture from its own
/// data, whatever the file's header says, and has one limit for all files.
struct HEIFItems {
  let primary: Int
  /// Of each item: `hvc1`, `av01`, `grid` ...
  private var kinds: [Int: String] = [:]
  /// Of each item: the items that a grid or an overlay is put together from.
  private var parts: [Int: [Int]] = [:]
  /// Of each item: its alpha, depth or gain.
  private var auxiliaries: [Int: [Int]] = [:]
  /// Of each item: where its data lies in the file.
  private var extents: [Int: [Range<Int>]] = [:]
  /// Of each item: the bodies of its properties.
  private var properties: [Int: [FileBox]] = [:]
  private let file: UnsafeBufferPointer<UInt8>
  /// How many bytes of data may still be looked at: items may share theirs, and a small file may name it very often.
  private var budget: Int

  /// nil where the file has no such structure; then libheif refuses it.
  init?(_ file: UnsafeBufferPointer<UInt8>) {
    self.file = file
    budget = 4 * file.count + 4096
    let whole = ByteReader(file, 0..<file.count)
    guard let meta = FileBox.all(in: whole).first(where: { $0.type == "meta" }) else { return nil }
    var body = meta.body
    body.skip(4)
    var boxes: [String: FileBox] = [:]
    for box in FileBox.all(in: body) where boxes[box.type] == nil { boxes[box.type] = box }
    guard var primary = boxes["pitm"]?.body else { return nil }
    self.primary = primary.number(primary.version() == 0 ? 2 : 4)
    if let box = boxes["iinf"] { readKinds(box.body) }
    if let box = boxes["iref"] { readReferences(box.body) }
    if let box = boxes["iprp"] { readProperties(box.body) }
    if let box = boxes["iloc"] { readPlaces(box.body, idat: boxes["idat"]?.body.range) }
  }

  private mutating func readKinds(_ body: ByteReader) {
    var body = body
    body.skip(body.version() == 0 ? 2 : 4)
    for entry in FileBox.all(in: body) where entry.type == "infe" {
      var entry = entry.body
      let version = entry.version()
      guard version >= 2 else { continue }
      let id = entry.number(version == 2 ? 2 : 4)
      entry.skip(2)
      kinds[id] = entry.name()
    }
  }

  private mutating func readReferences(_ body: ByteReader) {
    var body = body
    let width = body.version() == 0 ? 2 : 4
    for box in FileBox.all(in: body) {
      var list = box.body
      let from = list.number(width)
      let count = min(list.number(2), list.range.count / width)
      let to = (0..<count).map { _ in list.number(width) }
      if box.type == "dimg" { parts[from, default: []] += to }
      if box.type == "auxl" { for item in Set(to) { auxiliaries[item, default: []].append(from) } }
    }
  }

  private mutating func readProperties(_ body: ByteReader) {
    let boxes = FileBox.all(in: body)
    guard let container = boxes.first(where: { $0.type == "ipco" }) else { return }
    let all = FileBox.all(in: container.body)
    for box in boxes where box.type == "ipma" {
      var list = box.body
      let head = list.number(4)
      let count = list.number(4)
      for _ in 0..<min(count, list.range.count) {
        let id = list.number(head >> 24 == 0 ? 2 : 4)
        for _ in 0..<list.number(1) {
          let index = head & 1 == 1 ? list.number(2) & 0x7fff : list.number(1) & 0x7f
          // Each once: a small file may name a property very often.
          guard all.indices.contains(index - 1),
            properties[id, default: []].allSatisfy({ $0.type != all[index - 1].type })
          else { continue }
          properties[id, default: []].append(all[index - 1])
        }
      }
    }
  }

  private mutating func readPlaces(_ body: ByteReader, idat: Range<Int>?) {
    var body = body
    let version = body.version()
    let (sizes, bases) = (body.number(1), body.number(1))
    let count = body.number(version < 2 ? 2 : 4)
    var placeCount = 0
    for _ in 0..<min(count, body.range.count) {
      let id = body.number(version < 2 ? 2 : 4)
      let method = version == 0 ? 0 : body.number(2) & 15
      body.skip(2)
      let base = body.number(bases >> 4)
      let extentCount = body.number(2)
      for _ in 0..<extentCount {
        // A small file may have very many, where neither places nor lengths take a byte.
        guard placeCount < file.count else { return }
        placeCount += 1
        if version > 0 { body.skip(bases & 15) }
        let (offset, length) = (body.number(sizes >> 4), body.number(sizes & 15))
        guard let whole = method == 0 ? 0..<file.count : idat, method < 2 else { continue }
        let start = whole.lowerBound.addingReportingOverflow(base &+ offset)
        guard !start.overflow, base &+ offset >= 0, start.partialValue <= whole.upperBound else { continue }
        let end = min(length, whole.upperBound - start.partialValue) + start.partialValue
        extents[id, default: []].append(start.partialValue..<end)
      }
    }
  }

  /// The main picture's width and height as the file says them, before it is turned and cropped.
  var statedSize: (width: Int, height: Int)? {
    guard var box = properties[primary, default: []].first(where: { $0.type == "ispe" })?.body else { return nil }
    box.skip(4)
    return (box.number(4), box.number(4))
  }

  /// How many pixels libheif makes of the main picture: those of what it is put together from, of its parts and of what goes with
  /// them, by what their own data say; `Int.max` for a picture that is part of itself, and for data that are named too often.
  mutating func decodedPixelCount() -> Int {
    var known: [Int: Int] = [:]
    return pixelCount(of: primary, depth: 0, &known)
  }

  private mutating func pixelCount(of item: Int, depth: Int, _ known: inout [Int: Int]) -> Int {
    if let count = known[item] { return count }
    guard depth < 8 else { return .max }
    known[item] = .max  // until it is counted: what refers to itself never ends
    var count = ownPixelCount(of: item)
    for part in parts[item, default: []] + auxiliaries[item, default: []] {
      let (sum, overflow) = count.addingReportingOverflow(pixelCount(of: part, depth: depth + 1, &known))
      if overflow { return .max }
      count = sum
    }
    known[item] = count
    return count
  }

  private mutating func ownPixelCount(of item: Int) -> Int {
    switch kinds[item] {
    case "grid", "iovl":
      guard var data = data(of: item) else { return .max }
      let width = data.number(2) & 1 == 1 ? 4 : 2
      // A grid's rows and columns; an overlay's colour.
      data.skip(kinds[item] == "grid" ? 2 : 8)
      return codedArea(data.number(width), data.number(width))
    case "hvc1", "hev1":
      let configuration = properties[item, default: []].first { $0.type == "hvcC" }
      guard let data = data(of: item) else { return .max }
      return max(
        configuration.map { HEVCSize.pixelCount(configuration: $0.body) } ?? 0, HEVCSize.pixelCount(stream: data))
    case "av01":
      var configuration = properties[item, default: []].first { $0.type == "av1C" }?.body
      configuration?.skip(4)
      guard let data = data(of: item) else { return .max }
      return max(configuration.map(AV1Size.pixelCount) ?? 0, AV1Size.pixelCount(data))
    default:
      return 0
    }
  }

  /// An item's data, joined; nil where more has been named than there is.
  private mutating func data(of item: Int) -> ByteReader? {
    let ranges = extents[item, default: []]
    for range in ranges {
      guard range.count <= budget else { return nil }
      budget -= range.count + 1
    }
    if ranges.count < 2 { return ByteReader(file, ranges.first ?? 0..<0) }
    return ByteReader(ranges.flatMap { file[$0] })
  }
}

/// Refuses a file whose pictures are far larger than it says: its header alone would be believed.
/// - Parameter file: HEIC or AVIF.
func checkItems(of file: UnsafeBufferPointer<UInt8>, _ path: String) throws {
  guard var items = HEIFItems(file), let (width, height) = items.statedSize else { return }
  try checkSize(width, height, path)
  // A grid and its tiles, alpha, depth and gain of the same size, and tiles that are larger than a small picture.
  guard items.decodedPixelCount() <= 8 * width * height + 1 << 20 else {
    throw FileError(path, "says that it has \(width) x \(height) pixels, but its parts are far larger: it is damaged")
  }
}

/// Whether a HEIC or AVIF file holds a film beside its picture: a phone's moving photo, or a sequence.
func holdsFilm(_ file: UnsafeBufferPointer<UInt8>) -> Bool {
  FileBox.all(in: ByteReader(file, 0..<file.count)).contains { $0.type == "mpvd" || $0.type == "moov" }
}

/// A box of a file: a type and a body.
private struct FileBox {
  let type: String
  let body: ByteReader

  /// Those that lie in `reader`, one behind the other; one that is longer than it ends with it.
  static func all(in reader: ByteReader) -> [FileBox] {
    var (boxes, reader) = ([FileBox](), reader)
    while reader.range.count >= 8 {
      let start = reader.range
      var length = reader.number(4)
      let type = reader.name()
      if length == 1 { length = reader.number(8) }
      if length == 0 { length = start.count }
      guard length >= reader.range.lowerBound - start.lowerBound else { break }
      let end = start.lowerBound + min(length, start.count)
      boxes.append(FileBox(type: type, body: reader.narrowed(to: reader.range.lowerBound..<end)))
      reader.skip(end - reader.range.lowerBound)
    }
    return boxes
  }
}

/// Pixels of a picture; `Int.max` where that is no number.
func codedArea(_ width: Int, _ height: Int) -> Int {
  let (product, overflow) = width.multipliedReportingOverflow(by: height)
  return overflow || product < 0 ? .max : product
}
