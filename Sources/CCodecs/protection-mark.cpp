// The mark of a protected picture: a property of its XMP packet, in a namespace of its own.
#include "metadata.h"

#include <cstring>

static const char name_space[] = "urn:tsdf:protection:1#", prefix[] = "tsdf", property[] = "Xmp.tsdf.ProtectedBy";
// What a segment of a JPEG file holds of a packet.
static const size_t longest_packet = 65533 - 29;

// To be called by whoever uses Exiv2.
static void register_namespace() {
  static const bool isReady = [] {
    Exiv2::XmpProperties::registerNs(name_space, prefix);
    return true;
  }();
  (void)isReady;
}

int tsdf_mark_protected(tsdf_metadata *metadata, const char *tool) {
  if (!tool && !tsdf_is_marked_protected(metadata))
    return 0;
  tsdf::Use use;
  int result = -1;
  tsdf::trying([&] {
    register_namespace();
    tsdf::Metadata data;
    data.read({.xmp = metadata->xmp}, nullptr, 0);
    const auto found = data.xmp.findKey(Exiv2::XmpKey(property));
    if (found != data.xmp.end())
      data.xmp.erase(found);
    if (tool)
      data.xmp[property] = std::string(tool);
    tsdf_metadata marked = {};
    data.writeXMP(&marked);
    const bool fits = marked.xmp.size <= longest_packet || metadata->xmp.size > longest_packet;
    if (fits && (marked.xmp.size || !tool)) {
      tsdf::set(&metadata->xmp, marked.xmp.data, marked.xmp.size);
      result = 0;
    }
    tsdf_metadata_free(&marked);
  });
  return result;
}

int tsdf_is_marked_protected(const tsdf_metadata *metadata) {
  // Most packets need no parser to tell.
  if (!metadata->xmp.size || !memmem(metadata->xmp.data, metadata->xmp.size, name_space, sizeof(name_space) - 1))
    return 0;
  tsdf::Use use;
  bool isMarked = false;
  tsdf::trying([&] {
    register_namespace();
    tsdf::Metadata data;
    data.read({.xmp = metadata->xmp}, nullptr, 0);
    isMarked = data.xmp.findKey(Exiv2::XmpKey(property)) != data.xmp.end();
  });
  return isMarked;
}
