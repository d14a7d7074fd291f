// Which metadata a copy may have: an allow-list, and no value that holds a picture.
#include "metadata.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>

#include "pictures-inside.h"

namespace {

// The tags of a file's first directory that describe the photo, not how a file stores it.
bool isAboutThePhoto(uint16_t tag) {
  static const std::set<uint16_t> tags = {0x010d /* document name */,
                                          0x010e /* description */,
                                          0x010f /* make */,
                                          0x0110 /* model */,
                                          0x0112 /* orientation */,
                                          0x011a,
                                          0x011b,
                                          0x0128 /* resolution */,
                                          0x011d /* page name */,
                                          0x0131 /* software */,
                                          0x0132 /* date */,
                                          0x013b /* artist */,
                                          0x013c /* host */,
                                          0x4746,
                                          0x4749 /* rating */,
                                          0x8298 /* copyright */,
                                          0x8769,
                                          0x8825 /* the directories below */,
                                          0x9003 /* date taken */,
                                          0x9c9b,
                                          0x9c9c,
                                          0x9c9d,
                                          0x9c9e,
                                          0x9c9f /* title, comment, author, keywords, subject */};
  return tags.count(tag);
}

bool isKept(const Exiv2::Exifdatum &datum) {
  const std::string group = datum.groupName();
  if (group == "Image")
    return isAboutThePhoto(datum.tag());
  // What has no name is not known.
  return (group == "Photo" || group == "GPSInfo" || group == "Iop") && datum.tag() != 0x927c &&
         datum.tagName().compare(0, 2, "0x") != 0;
}

void clean(Exiv2::ExifData &exif, int *leftOut) {
  Exiv2::ExifData kept;
  for (const auto &datum : exif) {
    const std::string group = datum.groupName();
    if (!isKept(datum)) {
      if (group == "Thumbnail" && datum.tag() == 0x0201)
        *leftOut |= TSDF_LEFT_OUT_THUMBNAIL;
      else if (group == "Photo" && datum.tag() == 0x927c)
        *leftOut |= TSDF_LEFT_OUT_MAKER_NOTE;
      continue;
    }
    Exiv2::DataBuf bytes(datum.size());
    datum.copy(bytes.pData_, Exiv2::littleEndian);
    const bool isText =
        datum.typeId() == Exiv2::asciiString || datum.tag() == 0x9286 || (datum.tag() >= 0x9c9b && datum.tag() <= 0x9c9f);
    if (tsdf::holdsPicture(bytes.pData_, bytes.size_) || (bytes.size_ > 4096 && !isText) || bytes.size_ > 60000)
      *leftOut |= TSDF_LEFT_OUT_METADATA;
    else
      kept.add(datum);
  }
  exif = kept;
}

// The property of the packet's first level that a key belongs to.
std::string root(const std::string &key) { return key.substr(0, key.find_first_of("/[")); }

void clean(Exiv2::XmpData &xmp, int *leftOut) {
  // These hold pictures, or say where in the file others lie.
  static const std::set<std::string> prefixes = {
      "GImage",  "GDepth",  "GAudio",  "GCamera",    "GContainer", "Container", "Item",    "hdrgm",   "HDRGainMap", "apdi",
      "xmpGImg", "xapGImg", "xmpNote", "GCreations", "Device",     "Camera",    "Cameras", "Profile", "DepthMap"};
  std::set<std::string> dropped;
  for (const auto &datum : xmp) {
    const std::string key = datum.key(), value = datum.toString();
    if (prefixes.count(datum.groupName()) || root(key) == "Xmp.xmp.Thumbnails" || key.find("xmpGImg:") != std::string::npos ||
        tsdf::holdsPicture(value))
      dropped.insert(root(key));
  }
  Exiv2::XmpData kept;
  for (const auto &datum : xmp)
    if (!dropped.count(root(datum.key())))
      kept.add(datum);
  if (!dropped.empty())
    *leftOut |= TSDF_LEFT_OUT_METADATA;
  xmp = kept;
}

void clean(Exiv2::IptcData &iptc, int *leftOut) {
  Exiv2::IptcData kept;
  for (const auto &datum : iptc) {
    Exiv2::DataBuf bytes(datum.size());
    datum.copy(bytes.pData_, Exiv2::bigEndian);
    // Its own previews, and the objects that its further records carry.
    const bool isPreview = (datum.record() == 2 && datum.tag() >= 200) || datum.record() > 2;
    if (isPreview || tsdf::holdsPicture(bytes.pData_, bytes.size_))
      *leftOut |= TSDF_LEFT_OUT_METADATA;
    else
      kept.add(datum);
  }
  iptc = kept;
}

bool hasResource(const tsdf_bytes &resources, uint16_t id) {
  const Exiv2::byte *record;
  uint32_t head, length;
  return resources.size && resources.size <= UINT32_MAX &&
         !Exiv2::Photoshop::locateIrb(resources.data, resources.size, id, &record, &head, &length);
}

// How keywords of such texts begin.
const char raw[] = "Raw profile type ";

// What older programs put into PNG files: a name, a count and so many bytes in base 16, each on a line of its own.
std::string unpackRawProfile(const std::string &text) {
  std::string result;
  size_t at = text.find_first_not_of('\n');
  for (int line = 0; line < 2 && at != std::string::npos; ++line)
    at = text.find('\n', at + 1);
  int high = -1;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0)
      continue;
    if (high >= 0)
      result.push_back(static_cast<char>(high << 4 | digit));
    high = high < 0 ? digit : -1;
  }
  return result;
}

// Keywords of which a text holds a picture, or all together do: comments are short, and long ones are split.
std::set<std::string> keywordsWithPictures(const tsdf_bytes &texts) {
  std::map<std::string, std::string> together;
  size_t at = 0;
  const char *text;
  while (const char *keyword = tsdf_next_text(&texts, &at, &text))
    if (std::strncmp(keyword, raw, sizeof raw - 1) != 0)
      (together[keyword] += text) += '\n';
  std::set<std::string> found;
  for (const auto &all : together)
    if (tsdf::holdsPicture(all.second))
      found.insert(all.first);
  return found;
}

// Texts that hold no picture, in UTF-8; those that are metadata become such, where there are none of the kind.
void cleanTexts(tsdf_metadata *metadata, int *leftOut) {
  const std::set<std::string> dropped = keywordsWithPictures(metadata->texts);
  if (!dropped.empty())
    *leftOut |= TSDF_LEFT_OUT_METADATA;
  tsdf_buffer kept = {};
  size_t at = 0;
  const char *text;
  while (const char *keyword = tsdf_next_text(&metadata->texts, &at, &text)) {
    std::string value = text;
    if (std::strncmp(keyword, raw, sizeof raw - 1) == 0) {
      const std::string kind = keyword + sizeof raw - 1, bytes = unpackRawProfile(value);
      const bool isMarked = bytes.compare(0, 6, std::string("Exif\0\0", 6)) == 0;
      if ((kind == "exif" || kind == "APP1") && isMarked && !metadata->exif.size)
        tsdf::set(&metadata->exif, bytes.data() + 6, bytes.size() - 6);
      if ((kind == "iptc" || kind == "8bim") && !metadata->iptc.size)
        tsdf::set(&metadata->iptc, bytes.data(), bytes.size());
      if (kind == "xmp" && !metadata->xmp.size)
        tsdf::set(&metadata->xmp, bytes.data(), bytes.size());
      continue;
    }
    if (dropped.count(keyword))
      continue;
    std::string copy = value;
    if (std::any_of(value.begin(), value.end(), [](char c) { return c < 0; }) &&
        !Exiv2::convertStringCharset(copy, "UTF-8", "UTF-16LE"))
      Exiv2::convertStringCharset(value, "ISO-8859-1", "UTF-8");
    tsdf_append_text(&kept, keyword, value.data(), value.size());
  }
  free(metadata->texts.data);
  metadata->texts = {kept.data, kept.size};
}

} // namespace

void tsdf_clean_metadata(tsdf_metadata *metadata, const uint8_t *tiff, size_t tiffSize, int *orientation, int *leftOut) {
  tsdf_clean_profile(&metadata->profile, leftOut);
  if (tiff && tsdf_tiff_is_big(tiff, tiffSize))
    tiff = nullptr; // whose metadata were read as those of other types
  if (!tiff && !metadata->exif.size && !metadata->xmp.size && !metadata->iptc.size && !metadata->texts.size) {
    *orientation = 1;
    return;
  }
  tsdf::Use use;
  tsdf::Metadata data;
  try {
    cleanTexts(metadata, leftOut);
    if (!data.read(*metadata, tiff, tiffSize))
      *leftOut |= TSDF_LEFT_OUT_METADATA;
    if ((hasResource(metadata->iptc, 0x040c) || hasResource(metadata->iptc, 0x0409)))
      *leftOut |= TSDF_LEFT_OUT_THUMBNAIL;
    if (metadata->xmp.size && data.xmp.empty())
      *leftOut |= TSDF_LEFT_OUT_METADATA;
    clean(data.exif, leftOut);
    clean(data.xmp, leftOut);
    clean(data.iptc, leftOut);
    const auto found = data.exif.findKey(Exiv2::ExifKey("Exif.Image.Orientation"));
    if (*orientation) {
      if (found != data.exif.end())
        data.exif["Exif.Image.Orientation"] = static_cast<uint16_t>(*orientation);
      if (data.xmp.findKey(Exiv2::XmpKey("Xmp.tiff.Orientation")) != data.xmp.end())
        data.xmp["Xmp.tiff.Orientation"] = std::to_string(*orientation);
    } else {
      const long value = found != data.exif.end() && found->count() > 0 ? found->toLong() : 1;
      *orientation = value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
    }
  } catch (...) {
    // What cannot be looked through is not kept.
    data = tsdf::Metadata();
    *leftOut |= TSDF_LEFT_OUT_METADATA;
    *orientation = *orientation ? *orientation : 1;
  }
  data.writeExif(metadata);
  data.writeXMP(metadata);
  data.writeIPTC(metadata);
}
