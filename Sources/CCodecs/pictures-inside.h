// Whether metadata hold a picture, and whether XML is of the kind that XMP is.
#ifndef TSDF_PICTURES_INSIDE_H
#define TSDF_PICTURES_INSIDE_H

#include <cstddef>
#include <cstdint>
#include <string>

namespace tsdf {

// Whether bytes, which may be text in any encoding, hold the beginning of a picture's file: as they are or somewhere in base 64 or
// 16; or long data in base 64, which may be packed.
bool holdsPicture(const uint8_t *data, size_t size);
bool holdsPicture(const std::string &text);

// Whether bytes that are numbers, of which three look like a JPEG file's first by chance, hold the beginning of a picture's file.
bool numbersHoldPicture(const uint8_t *data, size_t size);

// Whether XML declares no entities, nests no deeper than metadata do, since its readers recurse, and has no more properties beside
// each other than these.
bool isPlainXML(const std::string &packet);
// The same of what XMP lies somewhere in bytes.
bool holdsPlainXML(const uint8_t *data, size_t size);

} // namespace tsdf

#endif
