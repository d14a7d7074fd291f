// What reading and writing TIFF share: a file in memory, and messages that go to the call's report.
#ifndef TSDF_TIFF_H
#define TSDF_TIFF_H

#include "support.h"

#include <tiffio.h>

typedef struct {
  const uint8_t *data; // for reading
  tsdf_buffer *out;    // for writing
  size_t size, position;
  tsdf_report *report;
} tsdf_tiff_memory;

// How a page's samples are stored.
typedef struct {
  int number; // of the page, the first is 0
  uint16_t bits, samples, photometric, planar, format, orientation;
  int is_direct; // samples that are taken as they are, spread over 8 or 16 bits; else libtiff makes 8-bit RGB of what is stored
  int has_alpha, is_premultiplied, is_lab;
} tsdf_tiff_page;

// Opens it for reading ("rm", "rmO") or writing; NULL with an error.
TIFF *tsdf_tiff_open(tsdf_tiff_memory *memory, const char *mode);

// Goes to the page that is the picture, and describes it; 0, or -1 with an error.
int tsdf_tiff_describe(TIFF *tiff, tsdf_tiff_page *page, tsdf_picture *picture, tsdf_report *report);

// The metadata of a BigTIFF file, in the form that they have in files of other types.
int tsdf_tiff_take_big_metadata(const uint8_t *data, size_t size, tsdf_metadata *metadata);

#endif
