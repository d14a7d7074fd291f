// Which parts of a colour profile a copy may have: the tags of the standard, of types that hold numbers or short texts.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>

#include "metadata.h"
#include "pictures-inside.h"

namespace {

using Bytes = std::string;

uint32_t number(const Bytes &bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i)
    value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

void setNumber(Bytes &bytes, size_t at, uint32_t value) {
  for (size_t i = 0; i < 4; ++i)
    bytes[at + i] = static_cast<char>(value >> (24 - 8 * i));
}

// ICC.1:2022, 9.2, and what version 2 had besides.
bool isKnownTag(const Bytes &name) {
  static const std::set<Bytes> names = {"A2B0", "A2B1", "A2B2", "B2A0", "B2A1", "B2A2", "B2D0", "B2D1", "B2D2", "B2D3",
                                        "D2B0", "D2B1", "D2B2", "D2B3", "bXYZ", "bTRC", "gXYZ", "gTRC", "rXYZ", "rTRC",
                                        "kTRC", "wtpt", "bkpt", "chad", "chrm", "cicp", "cprt", "desc", "dmdd", "dmnd",
                                        "calt", "clro", "ciis", "gamt", "lumi", "meas", "pre0", "pre1", "pre2", "rig0",
                                        "rig2", "resp", "targ", "tech", "view", "vued"};
  return names.count(name);
}

bool isText(const Bytes &type) { return type == "text" || type == "desc" || type == "mluc"; }

// Types (10) whose values are numbers.
bool isNumbers(const Bytes &type) {
  static const std::set<Bytes> types = {"XYZ ", "curv", "para", "mft1", "mft2", "mAB ", "mBA ", "mpet", "sf32",
                                        "chrm", "cicp", "clro", "dtim", "meas", "sig ", "view", "rcs2"};
  return types.count(type);
}

// How much of a tag its type uses, where that is simple to say; what is behind it is not the profile's.
size_t used(const Bytes &type, const Bytes &tag) {
  static const std::map<Bytes, size_t> fixed = {{"XYZ ", 20}, {"sf32", 44}, {"cicp", 12}, {"dtim", 20},
                                                {"meas", 36}, {"sig ", 12}, {"view", 36}, {"para", 40}};
  const auto found = fixed.find(type);
  if (found != fixed.end())
    return found->second;
  return type == "curv" && tag.size() >= 12 ? 12 + 2 * static_cast<size_t>(number(tag, 8)) : tag.size();
}

size_t padded(size_t size) { return (size + 3) / 4 * 4; }

struct Profile {
  Bytes bytes;
  bool holdsPicture = false, isWhole = false;
};

// The same with its known tags alone; as it is, where it has no more.
Profile clean(const Bytes &from) {
  Profile result;
  const size_t count = number(from, 128);
  std::map<std::pair<size_t, size_t>, size_t> places; // of values, which tags may share
  Bytes table, values;
  size_t kept = 0;
  for (size_t i = 0; i < count && 144 + 12 * i <= from.size(); ++i) {
    const size_t entry = 132 + 12 * i, start = number(from, entry + 4), length = number(from, entry + 8);
    if (start > from.size() || length > from.size() - start || length < 8)
      continue;
    Bytes tag = from.substr(start, length);
    const Bytes name = from.substr(entry, 4), type = tag.substr(0, 4);
    tag.resize(std::min(tag.size(), used(type, tag)));
    const auto data = reinterpret_cast<const uint8_t *>(tag.data());
    if (!isKnownTag(name) || (!isText(type) && !isNumbers(type)))
      continue;
    result.holdsPicture |= isText(type) ? tsdf::holdsPicture(tag) : tsdf::numbersHoldPicture(data, tag.size());
    const auto place = places.emplace(std::make_pair(start, length), values.size());
    if (place.second)
      values += tag + Bytes(padded(tag.size()) - tag.size(), '\0');
    table += name + Bytes(8, '\0');
    setNumber(table, 12 * kept + 4, static_cast<uint32_t>(place.first->second));
    setNumber(table, 12 * kept + 8, static_cast<uint32_t>(tag.size()));
    ++kept;
  }
  const size_t head = 132 + 12 * kept;
  // Behind the table and the values, only what fills up to four bytes each.
  result.isWhole = kept == count && from.size() <= padded(head) + values.size() + 3;
  if (result.isWhole) {
    result.bytes = from;
    return result;
  }
  for (size_t i = 0; i < kept; ++i)
    setNumber(table, 12 * i + 4, static_cast<uint32_t>(number(table, 12 * i + 4) + padded(head)));
  result.bytes = from.substr(0, 132) + table + Bytes(padded(head) - head, '\0') + values;
  setNumber(result.bytes, 0, static_cast<uint32_t>(result.bytes.size()));
  setNumber(result.bytes, 128, static_cast<uint32_t>(kept));
  // No longer the one of this checksum; and reserved bytes are zeros.
  std::fill(result.bytes.begin() + 84, result.bytes.begin() + 128, '\0');
  return result;
}

} // namespace

void tsdf_clean_profile(tsdf_bytes *profile, int *leftOut) {
  // Others are in no copy.
  const int channels = tsdf_profile_channels(profile->data, profile->size);
  if ((channels != 1 && channels != 3) || profile->size < 132)
    return;
  try {
    const Bytes from(reinterpret_cast<const char *>(profile->data), profile->size);
    const Profile cleaned = clean(from);
    const bool heldPicture =
        cleaned.holdsPicture || (!cleaned.isWhole && tsdf::numbersHoldPicture(profile->data, profile->size));
    if (heldPicture)
      *leftOut |= TSDF_LEFT_OUT_METADATA;
    if (!cleaned.isWhole || cleaned.holdsPicture)
      tsdf::set(profile, cleaned.bytes.data(), cleaned.holdsPicture ? 0 : cleaned.bytes.size());
  } catch (...) {
    tsdf::set(profile, nullptr, 0);
    *leftOut |= TSDF_LEFT_OUT_METADATA;
  }
}
