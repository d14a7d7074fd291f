#include "pictures-inside.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <iterator>

namespace tsdf {

using namespace std::string_literals;

// Where a file of a type begins, but for JPEG's and bitmaps, which have more to tell by.
static const std::string beginnings[] = {
    "\x89PNG\r\n\x1a\n"s, "GIF87a"s,         "GIF89a"s,         "WEBPVP8"s,   "II*\0"s,   "MM\0*"s,
    "II+\0\b\0"s,         "MM\0+\0\b"s,      "ftyphei"s,        "ftyphev"s,   "ftypavi"s, "ftypmif1"s,
    "ftypmsf1"s,          "JXL \r\n\x87\n"s, "jP  \r\n\x87\n"s, "8BPS\0\x01"s};

// A start, a marker, and where there are so many bytes (`isWhole`) the next one behind its segment.
static bool isJPEG(const uint8_t *at, size_t left, bool isWhole) {
  if (left < 3 || at[0] != 0xff || at[1] != 0xd8 || at[2] != 0xff || (left > 3 && at[3] < 0xc0))
    return false;
  if (!isWhole)
    return true;
  const size_t next = left < 6 ? left : 4 + (static_cast<size_t>(at[4]) << 8 | at[5]);
  return next + 1 < left && at[next] == 0xff && at[next + 1] >= 0xc0;
}

// The mark, nothing in the reserved bytes, and a header of a size that there is.
static bool isBitmap(const uint8_t *at, size_t left) {
  static const uint8_t sizes[] = {12, 40, 52, 56, 64, 108, 124};
  return left >= 18 && at[0] == 'B' && at[1] == 'M' && !at[6] && !at[7] && !at[8] && !at[9] && !at[15] && !at[16] && !at[17] &&
         std::find(std::begin(sizes), std::end(sizes), at[14]) != std::end(sizes);
}

static bool holdsBeginning(const uint8_t *data, size_t size, bool isWhole) {
  for (size_t i = 0; i < size; ++i) {
    const size_t left = size - i;
    if (data[i] == 0xff ? isJPEG(data + i, left, isWhole) : data[i] == 'B' && isBitmap(data + i, left))
      return true;
    for (const auto &beginning : beginnings)
      if (data[i] == static_cast<uint8_t>(beginning[0]) && left >= beginning.size() &&
          !std::memcmp(data + i, beginning.data(), beginning.size()))
        return true;
  }
  return false;
}

// Digits of so many bits each, from every digit on at which a byte may begin.
static bool decodesToPicture(const std::string &digits, int bits) {
  for (size_t phase = 0; phase < (bits == 6 ? 4 : 2); ++phase) {
    std::string bytes;
    unsigned held = 0;
    int count = 0;
    for (size_t i = phase; i < digits.size(); ++i) {
      held = held << bits | static_cast<uint8_t>(digits[i]);
      count += bits;
      if (count >= 8)
        bytes.push_back(static_cast<char>(held >> (count -= 8)));
    }
    if (holdsBeginning(reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size(), false))
      return true;
  }
  return false;
}

static int digit16(uint8_t c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// In both alphabets.
static int digit64(uint8_t c) {
  return c >= 'A' && c <= 'Z'   ? c - 'A'
         : c >= 'a' && c <= 'z' ? c - 'a' + 26
         : c >= '0' && c <= '9' ? c - '0' + 52
         : c == '+' || c == '-' ? 62
         : c == '/' || c == '_' ? 63
                                : -1;
}

// Between digits of one run: breaks of lines in any form.
static bool isSkipped(uint8_t c) { return std::isspace(c) || c == '\\'; }

static const size_t shortest = 64;

// Of text that ends with a character which is no digit.
static bool base64HoldsPicture(const std::string &text) {
  std::string run;
  size_t word = 0, inLongWords = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    uint8_t c = text[i];
    if (i + 2 < text.size() && c == '%' && digit16(text[i + 1]) >= 0 && digit16(text[i + 2]) >= 0) {
      c = static_cast<uint8_t>(digit16(text[i + 1]) << 4 | digit16(text[i + 2])); // as URLs write it
      i += 2;
    }
    const int digit = digit64(c);
    if (digit >= 0) {
      run.push_back(static_cast<char>(digit));
      inLongWords += ++word == 40 ? 40 : word > 40 ? 1 : 0;
    } else if (isSkipped(c)) {
      word = 0;
    } else {
      // Long data, be they packed or of a type not known: words of people are shorter than such lines.
      if (inLongWords >= 4096 || (run.size() >= shortest && decodesToPicture(run, 6)))
        return true;
      run.clear();
      word = inLongWords = 0;
    }
  }
  return false;
}

static bool base16HoldsPicture(const std::string &text) {
  std::string run;
  for (const uint8_t c : text) {
    const int digit = digit16(c);
    if (digit >= 0) {
      run.push_back(static_cast<char>(digit));
    } else if (c == 'x') {
      if (!run.empty() && !run.back()) // 0x
        run.pop_back();
    } else if (!isSkipped(c) && c != ':' && c != ',' && c != '-') {
      if (run.size() >= shortest && decodesToPicture(run, 4))
        return true;
      run.clear();
    }
  }
  return false;
}

bool holdsPicture(const uint8_t *data, size_t size) {
  if (holdsBeginning(data, size, false))
    return true;
  // Characters of two bytes, or of more, become such of one.
  std::string text(data, data + size);
  text.erase(std::remove(text.begin(), text.end(), '\0'), text.end());
  text.push_back('.');
  return base64HoldsPicture(text) || base16HoldsPicture(text);
}

bool holdsPicture(const std::string &text) { return holdsPicture(reinterpret_cast<const uint8_t *>(text.data()), text.size()); }

bool numbersHoldPicture(const uint8_t *data, size_t size) { return holdsBeginning(data, size, true); }

bool isPlainXML(const std::string &packet) {
  if (packet.size() > 16 << 20 || packet.find("<!DOCTYPE") != std::string::npos || packet.find("<!ENTITY") != std::string::npos)
    return false;
  // XMP's toolkit walks all properties beside each other for each; items of lists it does not.
  static const size_t deepest = 256, most = 4000;
  size_t depth = 0, beside[deepest + 3] = {};
  for (size_t at = packet.find('<'); at != std::string::npos; at = packet.find('<', at + 1)) {
    const size_t end = packet.find_first_of("<>", at + 1);
    if (end == std::string::npos)
      return true; // cut off: readers stop here too
    if (packet[at + 1] == '?' || packet[at + 1] == '!')
      continue;
    if (packet[at + 1] == '/') {
      depth -= depth > 0;
      continue;
    }
    if (packet.compare(at + 1, 6, "rdf:li") != 0)
      ++beside[depth];
    // What descriptions beside each other have is the same subject's.
    if (packet.compare(at + 1, 15, "rdf:Description") != 0)
      beside[depth + 1] = beside[depth + 2] = 0;
    beside[depth + 1] += static_cast<size_t>(std::count(packet.begin() + at, packet.begin() + end, '='));
    if (beside[depth] > most || beside[depth + 1] > most || (packet[end - 1] != '/' && ++depth > deepest))
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

} // namespace tsdf
