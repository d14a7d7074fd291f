// libtiff: strips, compressed as the file was that the picture comes from, if that was without loss.
#include "tiff.h"

#include <stdlib.h>

static void set_fields(TIFF *tiff, const tsdf_picture *picture, const tsdf_metadata *metadata) {
  const int colors = picture->channels < 3 ? 1 : 3;
  const uint16_t straight = EXTRASAMPLE_UNASSALPHA;
  TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, picture->width);
  TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, picture->height);
  TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, picture->bit_depth);
  TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, picture->channels);
  TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
  TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, colors == 1 ? PHOTOMETRIC_MINISBLACK : PHOTOMETRIC_RGB);
  TIFFSetField(tiff, TIFFTAG_ORIENTATION, picture->orientation);
  if (picture->channels > colors)
    TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, 1, &straight);
  switch (picture->compression) {
  case COMPRESSION_NONE:
  case COMPRESSION_PACKBITS:
    TIFFSetField(tiff, TIFFTAG_COMPRESSION, picture->compression);
    break;
  case COMPRESSION_ADOBE_DEFLATE:
  case COMPRESSION_DEFLATE:
    TIFFSetField(tiff, TIFFTAG_COMPRESSION, COMPRESSION_ADOBE_DEFLATE);
    TIFFSetField(tiff, TIFFTAG_PREDICTOR, PREDICTOR_HORIZONTAL);
    break;
  default:
    TIFFSetField(tiff, TIFFTAG_COMPRESSION, COMPRESSION_LZW);
    TIFFSetField(tiff, TIFFTAG_PREDICTOR, PREDICTOR_HORIZONTAL);
  }
  TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, TIFFDefaultStripSize(tiff, 0));
  if (tsdf_is_stated(&metadata->density)) {
    const double scale = metadata->density.unit == 3 ? 0.0254 : 1;
    TIFFSetField(tiff, TIFFTAG_RESOLUTIONUNIT,
                 metadata->density.unit == 2   ? RESUNIT_CENTIMETER
                 : metadata->density.unit == 0 ? RESUNIT_NONE
                                               : RESUNIT_INCH);
    TIFFSetField(tiff, TIFFTAG_XRESOLUTION, metadata->density.x * scale);
    TIFFSetField(tiff, TIFFTAG_YRESOLUTION, metadata->density.y * scale);
  }
  if (metadata->profile.size)
    TIFFSetField(tiff, TIFFTAG_ICCPROFILE, (uint32_t)metadata->profile.size, metadata->profile.data);
}

int tsdf_tiff_encode(const tsdf_picture *picture, const uint8_t *pixels, int quality, const tsdf_metadata *metadata,
                     tsdf_bytes *file, tsdf_report *report) {
  (void)quality;
  const size_t stride = (size_t)picture->width * picture->channels * picture->bit_depth / 8;
  tsdf_buffer out = {0};
  tsdf_tiff_memory memory = {.out = &out, .report = report};
  TIFF *tiff = tsdf_tiff_open(&memory, stride * picture->height < 0xF0000000u ? "wm" : "w8m");
  if (!tiff)
    return -1;
  set_fields(tiff, picture, metadata);
  // Compression may change its input: a row of our own.
  uint8_t *row = malloc(stride);
  int failed = !row;
  for (uint32_t y = 0; y < picture->height && !failed; ++y) {
    for (size_t i = 0; i < stride; ++i)
      row[i] = pixels[y * stride + i];
    failed = TIFFWriteScanline(tiff, row, y, 0) < 0;
  }
  free(row);
  failed |= !TIFFFlush(tiff);
  TIFFClose(tiff);
  if (!failed) {
    *file = (tsdf_bytes){out.data, out.size};
    return 0;
  }
  free(out.data);
  return tsdf_fail(report, "cannot be written as TIFF");
}
