#include "pictures-inside.h"

#include <algorithm>
#include <cctype>

namespace tsdf {

using namespace std::string_literals;

// Where a file of a type begins.
static const std::string beginnings[] = {"\xff\xd8\xff"s, "\x89PNG\r\n\x1a\n"s, "GIF87a"s, "GIF89a"s, "WEBPVP8"s, "II*\0"s,
                                         "MM\0*"s, "ftyphei"s, "ftypavi"s, "ftypmif1"s, "ftypmsf1"s};
// The same of the commonest in base 64 and 16.
static const std::string texts[] = {"/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR", "ffd8ff", "FFD8FF", "89504e47", "89504E47"};

bool holdsPicture(const uint8_t *data, size_t size) {
  const std::string bytes(reinterpret_cast<const char *>(data), size);
  for (const auto &beginning : beginnings)
    if (bytes.find(beginning) != std::string::npos)
      return true;
  return holdsPicture(bytes);
}

bool holdsPicture(const std::string &text) {
  const size_t start = text.find_first_not_of(" \t\r\n");
  if (start == std::string::npos)
    return false;
  for (const auto &beginning : texts)
    if (text.compare(start, beginning.size(), beginning) == 0 && text.size() - start > 64)
      return true;
  // Long data in base 64: words of people are shorter than its lines.
  if (text.size() < 4096)
    return false;
  const auto isCode = [](unsigned char c) { return std::isalnum(c) || c == '+' || c == '/' || c == '=' || std::isspace(c); };
  const auto isBreak = [](unsigned char c) { return std::isspace(c); };
  return std::all_of(text.begin(), text.end(), isCode) &&
         std::count_if(text.begin(), text.end(), isBreak) < static_cast<long>(text.size() / 40);
}

bool isPlainXML(const std::string &packet) {
  if (packet.size() > 16 << 20 || packet.find("<!DOCTYPE") != std::string::npos || packet.find("<!ENTITY") != std::string::npos)
    return false;
  int depth = 0;
  for (size_t at = packet.find('<'); at != std::string::npos; at = packet.find('<', at + 1)) {
    const size_t end = packet.find_first_of("<>", at + 1);
    if (end == std::string::npos)
      return true;   // cut off: readers stop here too
    if (packet[at + 1] == '/')
      --depth;
    else if (packet[at + 1] != '?' && packet[at + 1] != '!' && packet[end - 1] != '/' && ++depth > 256)
      return false;
  }
  return true;
}

bool holdsPlainXML(const uint8_t *data, size_t size) {
  // No XMP without the name of its language; text ends where a 0 is.
  static const std::string name = "22-rdf-syntax-ns#";
  const auto end = data + size;
  for (auto at = std::search(data, end, name.begin(), name.end()); at != end;
       at = std::search(at + 1, end, name.begin(), name.end())) {
    const auto stop = std::find(at, end, 0);
    if (!isPlainXML(std::string(at, stop)))
      return false;
    at = stop == end ? end - 1 : stop;
  }
  return true;
}

}  // namespace tsdf
