// What reading and writing TIFF share: a file in memory, and messages that go to the call's report.
#ifndef TSDF_TIFF_H
#define TSDF_TIFF_H

#include "support.h"

#include <tiffio.h>

typedef struct {
  const uint8_t *data;   // for reading
  tsdf_buffer *out;      // for writing
  size_t size, position;
  tsdf_report *report;
} tsdf_tiff_memory;

// Opens it for reading ("rm", "rmO") or writing; NULL with an error.
TIFF *tsdf_tiff_open(tsdf_tiff_memory *memory, const char *mode);

#endif
