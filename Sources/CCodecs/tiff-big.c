// BigTIFF, which Exiv2 does not read: its metadata, in the form that other types of file have them in.
#include "tiff.h"

#include <stdlib.h>
#include <string.h>

// Tags with places of their own, and those that lead to further directories of metadata.
enum {
  TAG_XMP = 700,
  TAG_IPTC = 33723,
  TAG_RESOURCES = 34377,
  TAG_EXIF = 34665,
  TAG_GPS = 34853,
  TAG_INTEROPERABILITY = 40965
};
// Larger values are not kept of any file; nor are there so many tags.
enum { LARGEST_VALUE = 60000, LARGEST_PACKET = 16 << 20, MOST_ENTRIES = 1000, MOST_DIRECTORIES = 8 };

typedef struct {
  const uint8_t *data;
  size_t size;
  int is_little, directories;
  tsdf_metadata *metadata;
  tsdf_buffer out; // a classic TIFF file of the same byte order
} big;

// A value of a directory.
typedef struct {
  uint16_t tag, type;
  uint64_t count;
  const uint8_t *bytes;
  size_t size;
} entry;

static uint64_t number(const big *file, const uint8_t *at, int size) {
  uint64_t value = 0;
  for (int i = 0; i < size; ++i)
    value = value << 8 | at[file->is_little ? size - 1 - i : i];
  return value;
}

static void put(const big *file, uint8_t *at, uint32_t value, int size) {
  for (int i = 0; i < size; ++i)
    at[file->is_little ? i : size - 1 - i] = value >> (8 * i);
}

// Bytes of a value of a classic type; 0 for others.
static size_t size_of_type(uint16_t type) {
  static const uint8_t sizes[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4};
  return type < sizeof sizes ? sizes[type] : 0;
}

// Whether there is an entry at a place, of which the value lies in the file.
static int read_entry(const big *file, size_t at, entry *found) {
  const uint8_t *start = file->data + at;
  *found = (entry){.tag = number(file, start, 2), .type = number(file, start + 2, 2), .count = number(file, start + 4, 8)};
  const size_t unit = size_of_type(found->type);
  if (!unit || found->count > LARGEST_PACKET / unit)
    return 0;
  found->size = found->count * unit;
  const uint64_t offset = number(file, start + 12, 8);
  if (found->size > 8 && (offset > file->size || found->size > file->size - offset))
    return 0;
  found->bytes = found->size <= 8 ? start + 12 : file->data + offset;
  return 1;
}

static int is_directory(uint16_t tag) { return tag == TAG_EXIF || tag == TAG_GPS || tag == TAG_INTEROPERABILITY; }

// Where another directory lies, by an entry of 4 or 8 bytes.
static uint64_t place_of_directory(const big *file, size_t at) {
  const uint16_t type = number(file, file->data + at + 2, 2);
  return number(file, file->data + at + 12, type == TIFF_LONG || type == TIFF_IFD ? 4 : 8);
}

// The IPTC record, as a resource of Photoshop's.
static int take_record(big *file, const entry *record) {
  uint8_t head[12] = {'8', 'B', 'I', 'M', 4, 4};
  tsdf_buffer resource = {0};
  for (int i = 0; i < 4; ++i)
    head[8 + i] = record->size >> (24 - 8 * i);
  if (tsdf_append(&resource, head, sizeof head) || tsdf_append(&resource, record->bytes, record->size) ||
      tsdf_append(&resource, NULL, record->size % 2)) {
    free(resource.data);
    return -1;
  }
  free(file->metadata->iptc.data);
  file->metadata->iptc = (tsdf_bytes){resource.data, resource.size};
  return 0;
}

static int add_directory(big *file, uint64_t offset, int depth, uint32_t *place);

// Writes an entry at a place of `out`, its value behind all that is there.
static int add_entry(big *file, const entry *from, size_t at) {
  uint8_t bytes[12] = {0};
  put(file, bytes, from->tag, 2);
  put(file, bytes + 2, from->type, 2);
  put(file, bytes + 4, from->count, 4);
  if (from->size <= 4) {
    memcpy(bytes + 8, from->bytes, from->size);
  } else {
    if (tsdf_append(&file->out, NULL, file->out.size % 2))
      return -1;
    put(file, bytes + 8, file->out.size, 4);
    if (tsdf_append(&file->out, from->bytes, from->size))
      return -1;
  }
  memcpy(file->out.data + at, bytes, sizeof bytes);
  return 0;
}

// What becomes of an entry: 1 where it was written, 0 where it is not kept, -1 where memory is lacking.
static int take_entry(big *file, size_t from, int depth, size_t to) {
  entry found;
  const uint16_t tag = number(file, file->data + from, 2);
  if (is_directory(tag)) {
    uint32_t place = 0;
    uint8_t bytes[4];
    if (add_directory(file, place_of_directory(file, from), depth + 1, &place))
      return -1;
    put(file, bytes, place, 4);
    const entry pointer = {.tag = tag, .type = TIFF_LONG, .count = 1, .bytes = bytes, .size = 4};
    return !place ? 0 : add_entry(file, &pointer, to) ? -1 : 1;
  }
  if (!read_entry(file, from, &found))
    return 0;
  tsdf_metadata *metadata = file->metadata;
  if (depth == 0 && tag == TAG_XMP)
    return tsdf_copy(&metadata->xmp, found.bytes, found.size);
  if (depth == 0 && tag == TAG_RESOURCES && !metadata->iptc.data)
    return tsdf_copy(&metadata->iptc, found.bytes, found.size);
  if (depth == 0 && tag == TAG_IPTC)
    return take_record(file, &found);
  return found.size > LARGEST_VALUE || file->out.size > LARGEST_PACKET ? 0 : add_entry(file, &found, to) ? -1 : 1;
}

// Writes a directory, and says where; not one that does not lie in the file.
static int add_directory(big *file, uint64_t offset, int depth, uint32_t *place) {
  // Directories that lead back to themselves end too.
  if (depth > 2 || ++file->directories > MOST_DIRECTORIES || offset > file->size || file->size - offset < 8)
    return 0;
  const uint64_t count = number(file, file->data + offset, 8);
  if (count > MOST_ENTRIES || file->size - offset < 8 + 20 * count)
    return 0;
  if (tsdf_append(&file->out, NULL, file->out.size % 2))
    return -1;
  const size_t start = file->out.size;
  int kept = 0;
  if (tsdf_append(&file->out, NULL, 2 + 12 * count + 4))
    return -1;
  for (uint64_t i = 0; i < count; ++i) {
    const int result = take_entry(file, offset + 8 + 20 * i, depth, start + 2 + 12 * kept);
    if (result < 0)
      return -1;
    kept += result;
  }
  put(file, file->out.data + start, kept, 2);
  *place = start;
  return 0;
}

int tsdf_tiff_is_big(const uint8_t *data, size_t size) {
  return size >= 16 && (!memcmp(data, "II+\0", 4) || !memcmp(data, "MM\0+", 4));
}

int tsdf_tiff_take_big_metadata(const uint8_t *data, size_t size, tsdf_metadata *metadata) {
  big file = {.data = data, .size = size, .is_little = data[0] == 'I', .metadata = metadata};
  uint8_t head[8] = {data[0], data[0]};
  uint32_t place = 0;
  put(&file, head + 2, 42, 2);
  int result =
      tsdf_append(&file.out, head, sizeof head) || add_directory(&file, number(&file, data + 8, 8), 0, &place) ? -1 : 0;
  if (!result && place) {
    put(&file, file.out.data + 4, place, 4);
    metadata->exif = (tsdf_bytes){file.out.data, file.out.size};
    return 0;
  }
  free(file.out.data);
  return result;
}
