// Exiv2, whose errors are exceptions: metadata read, and written where a type of file holds them.
#include "metadata.h"

#include <cstdlib>
#include <cstring>

#include "pictures-inside.h"

namespace tsdf {

static std::mutex mutex;

Use::Use() : lock(mutex) {
  static const bool isReady = [] {
    Exiv2::LogMsg::setLevel(Exiv2::LogMsg::mute);
    return Exiv2::XmpParser::initialize();
  }();
  (void)isReady;
}

void set(tsdf_bytes *to, const void *data, size_t size) {
  free(to->data);
  *to = {nullptr, 0};
  if (!size)
    return;
  // With a 0 behind it, for whoever takes it for text.
  to->data = static_cast<uint8_t *>(std::calloc(size + 1, 1));
  if (!to->data)
    return;
  std::memcpy(to->data, data, size);
  to->size = size;
}

bool Metadata::read(const tsdf_metadata &from, const uint8_t *tiff, size_t tiffSize) {
  bool isRead = true;
  const uint8_t *bytes = tiff ? tiff : from.exif.data;
  const size_t size = tiff ? tiffSize : from.exif.size;
  if (size > 8 && (size > UINT32_MAX || !tsdf::holdsPlainXML(bytes, size)))
    isRead = false;
  else if (size > 8)
    trying([&] {
      order = Exiv2::TiffParser::decode(exif, iptc, xmp, bytes, size);
      if (order != Exiv2::bigEndian)
        order = Exiv2::littleEndian;
    });
  if (from.xmp.size) {
    const std::string packet(reinterpret_cast<const char *>(from.xmp.data), from.xmp.size);
    if (!tsdf::isPlainXML(packet))
      isRead = false;
    else
      trying([&] { Exiv2::XmpParser::decode(xmp, packet); });
  }
  if (from.iptc.size && from.iptc.size <= UINT32_MAX) {
    const Exiv2::byte *record;
    uint32_t head, length;
    trying([&] {
      if (!Exiv2::Photoshop::locateIptcIrb(from.iptc.data, from.iptc.size, &record, &head, &length))
        Exiv2::IptcParser::decode(iptc, record + head, length);
    });
  }
  return isRead;
}

void Metadata::writeExif(tsdf_metadata *to) const {
  Exiv2::Blob blob;
  trying([&] {
    if (!exif.empty()) {
      Exiv2::ExifData copy = exif;
      Exiv2::ExifParser::encode(blob, order, copy);
    }
  });
  set(&to->exif, blob.data(), blob.size());
}

void Metadata::writeXMP(tsdf_metadata *to) const {
  std::string packet;
  trying([&] {
    if (!xmp.empty() &&
        Exiv2::XmpParser::encode(packet, xmp, Exiv2::XmpParser::useCompactFormat | Exiv2::XmpParser::readOnlyPacket))
      packet.clear();
  });
  set(&to->xmp, packet.data(), packet.size());
}

void Metadata::writeIPTC(tsdf_metadata *to) const {
  set(&to->iptc, nullptr, 0);
  trying([&] {
    if (iptc.empty())
      return;
    const Exiv2::DataBuf resources = Exiv2::Photoshop::setIptcIrb(nullptr, 0, iptc);
    set(&to->iptc, resources.pData_, resources.size_);
  });
}

} // namespace tsdf

using tsdf::Metadata;
using tsdf::Use;

int tsdf_fit_metadata(tsdf_metadata *metadata, int hasIPTC, int hasTexts, int hasDensity) {
  const tsdf_density density = metadata->density;
  const bool movesIPTC = !hasIPTC && metadata->iptc.size, movesTexts = !hasTexts && metadata->texts.size;
  const bool movesDensity = !hasDensity && density.unit && density.x > 0 && density.x < 1e6 && density.y > 0 && density.y < 1e6;
  if (!movesIPTC && !movesTexts && !movesDensity)
    return 0;
  Use use;
  Metadata data;
  bool isLost = false;
  data.read(*metadata, nullptr, 0);
  if (movesIPTC)
    tsdf::trying([&] { Exiv2::copyIptcToXmp(data.iptc, data.xmp); });
  if (movesTexts) {
    size_t at = 0;
    const char *text;
    tsdf_next_text(&metadata->texts, &at, &text);
    isLost = at < metadata->texts.size || std::strlen(text) > 16384 ||
             data.exif.findKey(Exiv2::ExifKey("Exif.Photo.UserComment")) != data.exif.end();
    if (!isLost)
      tsdf::trying([&] { data.exif["Exif.Photo.UserComment"] = std::string("charset=Unicode ") + text; });
  }
  if (movesDensity && data.exif.findKey(Exiv2::ExifKey("Exif.Image.XResolution")) == data.exif.end())
    tsdf::trying([&] {
      const double scale = density.unit == 3 ? 0.0254 : 1;
      const auto ratio = [&](double value) { return Exiv2::Rational(static_cast<int32_t>(value * scale * 100 + 0.5), 100); };
      data.exif["Exif.Image.XResolution"] = ratio(density.x);
      data.exif["Exif.Image.YResolution"] = ratio(density.y);
      data.exif["Exif.Image.ResolutionUnit"] = static_cast<uint16_t>(density.unit == 2 ? 3 : 2);
    });
  data.writeExif(metadata);
  data.writeXMP(metadata);
  if (movesIPTC)
    tsdf::set(&metadata->iptc, nullptr, 0);
  return isLost;
}

int tsdf_add_to_tiff(tsdf_bytes *file, const tsdf_metadata *metadata) {
  if (!metadata->exif.size && !metadata->xmp.size && !metadata->iptc.size)
    return 0;
  if (file->size > UINT32_MAX)
    return -1;
  Use use;
  Metadata added, whole;
  added.read(*metadata, nullptr, 0);
  try {
    whole.read({}, file->data, file->size);
    for (const auto &datum : added.exif)
      whole.exif[datum.key()] = datum;
    Exiv2::MemIo out;
    const auto method = Exiv2::TiffParser::encode(out, file->data, file->size, whole.order, whole.exif, added.iptc, added.xmp);
    if (method == Exiv2::wmNonIntrusive)
      return 0;
    out.seek(0, Exiv2::BasicIo::beg);
    uint8_t *copy = static_cast<uint8_t *>(std::malloc(out.size()));
    if (!copy)
      return -1;
    out.read(copy, out.size());
    free(file->data);
    *file = {copy, out.size()};
    return 0;
  } catch (...) {
    return -1;
  }
}
