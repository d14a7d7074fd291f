#include "tiff.h"

#include <stdio.h>
#include <string.h>

static tmsize_t read_bytes(thandle_t handle, void *to, tmsize_t count) {
  tsdf_tiff_memory *memory = handle;
  const uint8_t *data = memory->out ? memory->out->data : memory->data;
  const size_t size = memory->out ? memory->out->size : memory->size;
  const size_t left = memory->position < size ? size - memory->position : 0;
  const size_t taken = (size_t)count < left ? (size_t)count : left;
  memcpy(to, data + memory->position, taken);
  memory->position += taken;
  return taken;
}

static tmsize_t write_bytes(thandle_t handle, void *from, tmsize_t count) {
  tsdf_tiff_memory *memory = handle;
  if (!memory->out)
    return 0;
  const size_t end = memory->position + count;
  if (end > memory->out->size && tsdf_append(memory->out, NULL, end - memory->out->size))
    return 0;
  memcpy(memory->out->data + memory->position, from, count);
  memory->position = end;
  return count;
}

static toff_t size_of(thandle_t handle) {
  const tsdf_tiff_memory *memory = handle;
  return memory->out ? memory->out->size : memory->size;
}

static toff_t seek(thandle_t handle, toff_t offset, int whence) {
  tsdf_tiff_memory *memory = handle;
  memory->position = offset + (whence == SEEK_CUR ? memory->position : whence == SEEK_END ? size_of(handle) : 0);
  return memory->position;
}

static int close_nothing(thandle_t handle) {
  (void)handle;
  return 0;
}

// Not mapped: libtiff then copies what it reads, and files that lie about their offsets meet the end of the data.
static int map_nothing(thandle_t handle, void **base, toff_t *size) {
  (void)handle, (void)base, (void)size;
  return 0;
}

static void unmap_nothing(thandle_t handle, void *base, toff_t size) { (void)handle, (void)base, (void)size; }

static void fail(tsdf_tiff_memory *memory) {
  tsdf_fail(memory->report,
            memory->out ? "cannot be written as TIFF" : "is truncated, damaged or a kind of TIFF file that is not read");
}

// What libtiff says of a fault is for programmers.
static int on_error(TIFF *tiff, void *user, const char *module, const char *format, va_list arguments) {
  (void)tiff, (void)module, (void)format, (void)arguments;
  fail(user);
  return 1;
}

// What libtiff warns of are unknown tags and the like.
static int on_warning(TIFF *tiff, void *user, const char *module, const char *format, va_list arguments) {
  (void)tiff, (void)user, (void)module, (void)format, (void)arguments;
  return 1;
}

TIFF *tsdf_tiff_open(tsdf_tiff_memory *memory, const char *mode) {
  TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
  if (!options)
    return NULL;
  TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, memory);
  TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, NULL);
  TIFF *tiff = TIFFClientOpenExt("TIFF", mode, memory, read_bytes, write_bytes, seek, close_nothing, size_of, map_nothing,
                                 unmap_nothing, options);
  TIFFOpenOptionsFree(options);
  if (!tiff)
    fail(memory);
  return tiff;
}
