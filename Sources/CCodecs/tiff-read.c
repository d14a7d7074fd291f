// libtiff: the page that is the picture.
#include "tiff.h"

#include <stdlib.h>
#include <string.h>

int tsdf_tiff_read_header(const uint8_t *data, size_t size, tsdf_picture *picture, tsdf_report *report) {
  tsdf_tiff_memory memory = {.data = data, .size = size, .report = report};
  tsdf_tiff_page page = {0};
  TIFF *tiff = tsdf_tiff_open(&memory, "rm");
  if (!tiff)
    return -1;
  const int result = tsdf_tiff_describe(tiff, &page, picture, report);
  TIFFClose(tiff);
  return result;
}

static size_t bytes_of_row(const tsdf_tiff_page *page, uint32_t columns, int samples) {
  return ((uint64_t)columns * samples * page->bits + 7) / 8;
}

// The sample at a place of a row, spread over 8 or 16 bits. Bytes and pairs of them lie as the processor has them, others
// as bits one after the other, the highest first.
static uint32_t sample(const tsdf_tiff_page *page, const uint8_t *row, size_t index) {
  if (page->bits == 8)
    return row[index];
  if (page->bits == 16)
    return ((const uint16_t *)row)[index];
  const uint32_t most = (1u << page->bits) - 1, peak = page->bits > 8 ? 65535 : 255;
  const size_t bit = index * page->bits, end = bit + page->bits;
  uint32_t value = 0;
  for (size_t at = bit / 8; at < (end + 7) / 8; ++at)
    value = value << 8 | row[at];
  value = value >> (7 - (end + 7) % 8) & most;
  return (value * peak + most / 2) / most;
}

// Puts a block of samples at its place: `samples` a pixel, from plane `first` on, in rows and columns that the picture has.
static void place(const tsdf_tiff_page *page, const tsdf_picture *picture, const uint8_t *block, uint32_t left, uint32_t top,
                  uint32_t columns, uint32_t rows, int first, int samples, uint8_t *pixels) {
  const size_t stride = bytes_of_row(page, columns, samples);
  const int wanted = picture->channels - first < samples ? picture->channels - first : samples;
  for (uint32_t y = 0; y < rows && top + y < picture->height; ++y)
    for (uint32_t x = 0; x < columns && left + x < picture->width; ++x) {
      const size_t to = ((size_t)(top + y) * picture->width + left + x) * picture->channels + first;
      for (int c = 0; c < wanted; ++c) {
        const uint32_t value = sample(page, block + y * stride, (size_t)x * samples + c);
        if (picture->bit_depth == 16)
          ((uint16_t *)pixels)[to + c] = value;
        else
          pixels[to + c] = value;
      }
    }
}

static int decode_direct(TIFF *tiff, const tsdf_tiff_page *page, const tsdf_picture *picture, uint8_t *pixels) {
  const int is_tiled = TIFFIsTiled(tiff), is_separate = page->planar == PLANARCONFIG_SEPARATE;
  const int planes = is_separate ? picture->channels : 1, samples = is_separate ? 1 : page->samples;
  uint32_t columns = picture->width, rows = picture->height;
  if (is_tiled) {
    TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &columns);
    TIFFGetField(tiff, TIFFTAG_TILELENGTH, &rows);
  } else {
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ROWSPERSTRIP, &rows);
    rows = rows > picture->height ? picture->height : rows;
  }
  const tmsize_t room = is_tiled ? TIFFTileSize(tiff) : TIFFStripSize(tiff);
  if (room <= 0 || !rows || !columns || (uint64_t)room < (uint64_t)bytes_of_row(page, columns, samples) * rows)
    return -1;
  uint8_t *block = _TIFFmalloc(room);
  int result = block ? 0 : -1;
  for (int plane = 0; plane < planes && !result; ++plane)
    for (uint32_t top = 0; top < picture->height && !result; top += rows)
      for (uint32_t left = 0; left < picture->width && !result; left += columns) {
        memset(block, 0, room);
        const tmsize_t got = is_tiled ? TIFFReadTile(tiff, block, left, top, 0, plane)
                                      : TIFFReadEncodedStrip(tiff, TIFFComputeStrip(tiff, top, plane), block, room);
        result = got < 0 ? -1 : 0;
        place(page, picture, block, left, top, columns, rows, plane, samples, pixels);
      }
  _TIFFfree(block);
  return result;
}

// Ink for light, and colours that alpha was multiplied into as they were.
static void normalize(const tsdf_tiff_page *page, const tsdf_picture *picture, uint8_t *pixels) {
  const size_t count = (size_t)picture->width * picture->height;
  const int channels = picture->channels, is_wide = picture->bit_depth == 16, peak = is_wide ? 65535 : 255;
  const int colors = picture->is_cmyk ? 4 : channels - page->has_alpha;
  if (page->photometric != PHOTOMETRIC_MINISWHITE && !(page->is_premultiplied && page->has_alpha && !picture->is_cmyk))
    return;
  for (size_t i = 0; i < count; ++i)
    for (int c = 0; c < colors; ++c) {
      uint8_t *at8 = pixels + i * channels;
      uint16_t *at16 = (uint16_t *)pixels + i * channels;
      int64_t value = is_wide ? at16[c] : at8[c];
      if (page->photometric == PHOTOMETRIC_MINISWHITE)
        value = peak - value;
      if (page->is_premultiplied && page->has_alpha) {
        const int64_t alpha = is_wide ? at16[colors] : at8[colors];
        value = alpha ? (value * peak + alpha / 2) / alpha : 0;
        value = value > peak ? peak : value;
      }
      if (is_wide)
        at16[c] = value;
      else
        at8[c] = value;
    }
}

// Whole strips or rows of tiles, some 256 lines: those of a part are decoded anew for each part that touches them.
static uint32_t conversion_step(TIFF *tiff, uint32_t height) {
  uint32_t block = 1;
  if (TIFFIsTiled(tiff))
    TIFFGetField(tiff, TIFFTAG_TILELENGTH, &block);
  else
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ROWSPERSTRIP, &block);
  if (!block || block >= height)
    return height;
  const uint32_t step = (255 / block + 1) * block;
  return step < height ? step : height;
}

// Through libtiff's own conversion, a part of the picture at a time.
static int decode_by_conversion(TIFF *tiff, const tsdf_picture *picture, uint8_t *pixels) {
  TIFFRGBAImage image;
  char why[1024];
  if (!TIFFRGBAImageBegin(&image, tiff, 1, why))
    return -1;
  // As stored: the orientation is for whoever shows it.
  image.orientation = image.req_orientation = ORIENTATION_TOPLEFT;
  const uint32_t step = conversion_step(tiff, picture->height);
  uint32_t *raster = malloc((size_t)picture->width * step * 4);
  int result = raster ? 0 : -1;
  for (uint32_t top = 0; top < picture->height && !result; top += step) {
    const uint32_t height = picture->height - top < step ? picture->height - top : step;
    image.row_offset = top;
    result = TIFFRGBAImageGet(&image, raster, picture->width, height) ? 0 : -1;
    for (size_t i = 0, count = (size_t)picture->width * height; i < count && !result; ++i) {
      const uint32_t v = raster[i];
      const uint8_t rgba[] = {TIFFGetR(v), TIFFGetG(v), TIFFGetB(v), TIFFGetA(v)};
      memcpy(pixels + ((size_t)top * picture->width + i) * picture->channels, rgba, picture->channels);
    }
  }
  free(raster);
  TIFFRGBAImageEnd(&image);
  return result;
}

static void take_metadata(TIFF *tiff, const tsdf_tiff_page *page, tsdf_picture *picture, tsdf_metadata *metadata) {
  uint32_t size;
  uint16_t count;
  void *bytes;
  float x = 0, y = 0;
  uint16_t unit = RESUNIT_INCH;
  if (!page->is_lab && TIFFGetField(tiff, TIFFTAG_ICCPROFILE, &size, &bytes))
    tsdf_copy(&metadata->profile, bytes, size);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_RESOLUTIONUNIT, &unit);
  if (TIFFGetField(tiff, TIFFTAG_XRESOLUTION, &x) && TIFFGetField(tiff, TIFFTAG_YRESOLUTION, &y) && x > 0 && y > 0)
    metadata->density = (tsdf_density){unit == RESUNIT_INCH ? 1 : unit == RESUNIT_CENTIMETER ? 2 : 0, x, y};
  if (TIFFGetField(tiff, TIFFTAG_SUBIFD, &count, &bytes) || !TIFFLastDirectory(tiff))
    picture->left_out |= TSDF_LEFT_OUT_PAGES;
  if (page->number > 0)
    picture->left_out |= TSDF_LEFT_OUT_THUMBNAIL;
}

int tsdf_tiff_decode(const uint8_t *data, size_t size, tsdf_picture *picture, uint8_t *pixels, tsdf_metadata *metadata,
                     tsdf_report *report) {
  tsdf_tiff_memory memory = {.data = data, .size = size, .report = report};
  tsdf_tiff_page page = {0};
  TIFF *tiff = tsdf_tiff_open(&memory, "rm");
  if (!tiff)
    return -1;
  int result = tsdf_tiff_describe(tiff, &page, picture, report);
  if (!result)
    result = page.is_direct ? decode_direct(tiff, &page, picture, pixels) : decode_by_conversion(tiff, picture, pixels);
  if (!result && page.is_direct)
    normalize(&page, picture, pixels);
  if (!result && page.is_lab)
    result = tsdf_lab_to_srgb(page.photometric == PHOTOMETRIC_ICCLAB, picture, pixels, report);
  if (!result)
    take_metadata(tiff, &page, picture, metadata);
  TIFFClose(tiff);
  if (!result && tsdf_tiff_is_big(data, size) && tsdf_tiff_take_big_metadata(data, size, metadata)) {
    tsdf_metadata_free(metadata);
    result = tsdf_fail(report, "out of memory");
  }
  return result ? tsdf_fail(report, "is truncated or damaged") : 0;
}
