// Exif data, XMP and IPTC as Exiv2 has them, for the functions that change them.
#ifndef TSDF_METADATA_H
#define TSDF_METADATA_H

#include <exiv2/exiv2.hpp>

#include <mutex>

#include "support.h"

namespace tsdf {

// Held while Exiv2 is used: XMP's toolkit keeps its namespaces for all threads.
struct Use {
  std::lock_guard<std::mutex> lock;
  Use();
};

// What a call of Exiv2's throws is let go: what breaks one kind of data does not cost the others.
template <typename Body> void trying(Body body) {
  try {
    body();
  } catch (...) {
  }
}

// Replaces bytes, with a 0 behind them for whoever takes them for text.
void set(tsdf_bytes *to, const void *data, size_t size);

struct Metadata {
  Exiv2::ExifData exif;
  Exiv2::XmpData xmp;
  Exiv2::IptcData iptc;
  Exiv2::ByteOrder order = Exiv2::littleEndian;

  // All that can be read: from the bytes of each or, where it is given, from a whole TIFF file. Whether XMP was such as is read.
  bool read(const tsdf_metadata &from, const uint8_t *tiff, size_t tiffSize);
  void writeExif(tsdf_metadata *to) const;
  void writeXMP(tsdf_metadata *to) const;
  void writeIPTC(tsdf_metadata *to) const;
};

} // namespace tsdf

// Leaves of a grey or RGB profile what the standard names; nothing of one of whose texts one holds a picture.
void tsdf_clean_profile(tsdf_bytes *profile, int *leftOut);

#endif
