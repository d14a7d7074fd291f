// Whether metadata hold a picture, and whether XML is of the kind that XMP is.
#ifndef TSDF_PICTURES_INSIDE_H
#define TSDF_PICTURES_INSIDE_H

#include <cstddef>
#include <cstdint>
#include <string>

namespace tsdf {

// Whether bytes hold the beginning of a picture's file, as they are or in base 64 or 16.
bool holdsPicture(const uint8_t *data, size_t size);
bool holdsPicture(const std::string &text);

// Whether XML declares no entities and nests no deeper than metadata do: readers of XML recurse.
bool isPlainXML(const std::string &packet);
// The same of what XMP lies somewhere in bytes.
bool holdsPlainXML(const uint8_t *data, size_t size);

}  // namespace tsdf

#endif
