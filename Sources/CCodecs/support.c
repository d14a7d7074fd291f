#include "support.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tsdf_metadata_free(tsdf_metadata *metadata) {
  free(metadata->profile.data);
  free(metadata->exif.data);
  free(metadata->xmp.data);
  free(metadata->iptc.data);
  free(metadata->texts.data);
  memset(metadata, 0, sizeof *metadata);
}

tsdf_metadata tsdf_metadata_copy(const tsdf_metadata *metadata) {
  tsdf_metadata copy = {.density = metadata->density};
  const tsdf_bytes *from[] = {&metadata->profile, &metadata->exif, &metadata->xmp, &metadata->iptc, &metadata->texts};
  tsdf_bytes *to[] = {&copy.profile, &copy.exif, &copy.xmp, &copy.iptc, &copy.texts};
  for (int i = 0; i < 5; ++i) {
    // A 0 behind what may be text.
    to[i]->data = from[i]->size ? calloc(from[i]->size + 1, 1) : NULL;
    to[i]->size = to[i]->data ? from[i]->size : 0;
    if (to[i]->data)
      memcpy(to[i]->data, from[i]->data, from[i]->size);
  }
  return copy;
}

int tsdf_append(tsdf_buffer *buffer, const void *data, size_t size) {
  if (buffer->capacity - buffer->size < size) {
    const size_t capacity = buffer->capacity * 2 + size + 4096;
    uint8_t *grown = realloc(buffer->data, capacity);
    if (!grown)
      return -1;
    buffer->data = grown;
    buffer->capacity = capacity;
  }
  if (data)
    memcpy(buffer->data + buffer->size, data, size);
  else
    memset(buffer->data + buffer->size, 0, size);
  buffer->size += size;
  return 0;
}

int tsdf_copy(tsdf_bytes *bytes, const void *data, size_t size) {
  uint8_t *copy = malloc(size ? size : 1);
  if (!copy)
    return -1;
  memcpy(copy, data, size);
  free(bytes->data);
  *bytes = (tsdf_bytes){copy, size};
  return 0;
}

int tsdf_append_text(tsdf_buffer *texts, const char *keyword, const void *text, size_t size) {
  size = strnlen(text, size);
  return tsdf_append(texts, keyword, strlen(keyword) + 1) || tsdf_append(texts, text, size) || tsdf_append(texts, NULL, 1) ? -1
                                                                                                                           : 0;
}

const char *tsdf_next_text(const tsdf_bytes *texts, size_t *at, const char **text) {
  if (*at >= texts->size)
    return NULL;
  const char *keyword = (const char *)texts->data + *at;
  *text = keyword + strlen(keyword) + 1;
  *at += strlen(keyword) + 1 + strlen(*text) + 1;
  return keyword;
}

int tsdf_fail(tsdf_report *report, const char *format, ...) {
  if (!report->error[0]) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(report->error, sizeof report->error, format, arguments);
    va_end(arguments);
  }
  return -1;
}

void tsdf_note(tsdf_report *report, const char *format, ...) {
  if (report->note[0])
    return;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(report->note, sizeof report->note, format, arguments);
  va_end(arguments);
}

void tsdf_skip_exif_mark(const uint8_t **data, size_t *size) {
  if (*size >= 6 && !memcmp(*data, "Exif\0\0", 6)) {
    *data += 6;
    *size -= 6;
  }
}

int tsdf_is_stated(const tsdf_density *density) {
  return density->x > 0 && density->y > 0 && (density->unit || density->x != density->y);
}

int tsdf_has_trailer(const uint8_t *data, size_t size, size_t end) {
  while (end < size && !data[end])
    ++end;
  return end < size;
}
