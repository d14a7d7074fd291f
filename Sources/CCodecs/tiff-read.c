// libtiff: the first page.
#include "tiff.h"

#include <stdlib.h>
#include <string.h>

// How a page's samples are stored.
typedef struct {
  uint16_t bits, samples, photometric, planar, format, orientation;
  int is_direct;   // whole bytes that are taken as they are; else libtiff makes 8-bit RGB of what is stored
  int has_alpha, is_premultiplied;
} layout;

// Cameras' raw files are TIFFs in which the first picture is a preview.
static int is_raw(TIFF *tiff) {
  uint32_t kind = 0, count;
  void *version;
  TIFFGetField(tiff, TIFFTAG_SUBFILETYPE, &kind);
  return (kind & FILETYPE_REDUCEDIMAGE) || TIFFGetField(tiff, TIFFTAG_DNGVERSION, &version) ||
         TIFFGetField(tiff, 50752 /* CR2's slices */, &count, &version);
}

static int describe(TIFF *tiff, layout *page, tsdf_picture *picture, tsdf_report *report) {
  uint16_t extras = 0, *kinds = NULL, compression = COMPRESSION_NONE;
  if (is_raw(tiff))
    return tsdf_fail(report, "is a camera's raw file; develop it to a TIFF or JPEG file first");
  if (!TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &picture->width) || !TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &picture->height))
    return tsdf_fail(report, "has no size");
  TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &page->bits);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &page->samples);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &page->planar);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &page->format);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &page->orientation);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &compression);
  if (!TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &page->photometric))
    page->photometric = page->samples < 3 ? PHOTOMETRIC_MINISBLACK : PHOTOMETRIC_RGB;
  if (TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &extras, &kinds) && extras > 0)
    page->is_premultiplied = kinds[0] == EXTRASAMPLE_ASSOCALPHA;
  const int is_grey = page->photometric == PHOTOMETRIC_MINISBLACK || page->photometric == PHOTOMETRIC_MINISWHITE;
  const int colors = is_grey ? 1 : page->photometric == PHOTOMETRIC_SEPARATED ? 4 : 3;
  page->has_alpha = page->samples > colors && extras > 0 && kinds[0] != EXTRASAMPLE_UNSPECIFIED;
  page->is_direct = (page->bits == 8 || page->bits == 16) && page->format == SAMPLEFORMAT_UINT && page->samples >= colors &&
                    page->samples < 64 && (is_grey || page->photometric == PHOTOMETRIC_RGB || colors == 4);
  picture->compression = compression;
  picture->orientation = page->orientation >= 1 && page->orientation <= 8 ? page->orientation : 1;
  picture->is_cmyk = page->is_direct && colors == 4;
  picture->bit_depth = picture->precision = page->is_direct ? page->bits : 8;
  picture->channels = page->is_direct ? colors + (page->has_alpha && colors < 4) : is_grey ? 1 : page->has_alpha ? 4 : 3;
  const uint64_t size = (uint64_t)picture->width * picture->height * page->samples * page->bits / 8;
  if (TIFFIsTiled(tiff) && TIFFTileSize64(tiff) > 2 * size && TIFFTileSize64(tiff) > 16 << 20)
    return tsdf_fail(report, "has tiles that are far larger than the picture");
  char why[1024];
  if (!page->is_direct && (page->format != SAMPLEFORMAT_UINT || page->bits > 16 || !TIFFRGBAImageOK(tiff, why)))
    return tsdf_fail(report, "stores its pixels in a form that is not read (%d samples of %d bits, of kind %d)", page->samples,
                     page->bits, page->photometric);
  return 0;
}

int tsdf_tiff_read_header(const uint8_t *data, size_t size, tsdf_picture *picture, tsdf_report *report) {
  tsdf_tiff_memory memory = {.data = data, .size = size, .report = report};
  layout page = {0};
  TIFF *tiff = tsdf_tiff_open(&memory, "rm");
  if (!tiff)
    return -1;
  const int result = describe(tiff, &page, picture, report);
  TIFFClose(tiff);
  return result;
}

// Puts a block of samples at its place: `count` of `samples`, from plane `first` on, in rows and columns that the picture has.
static void place(const layout *page, const tsdf_picture *picture, const uint8_t *block, uint32_t left, uint32_t top,
                  uint32_t columns, uint32_t rows, int first, int samples, uint8_t *pixels) {
  const size_t bytes = page->bits / 8;
  for (uint32_t y = 0; y < rows && top + y < picture->height; ++y)
    for (uint32_t x = 0; x < columns && left + x < picture->width; ++x) {
      const uint8_t *from = block + ((size_t)y * columns + x) * samples * bytes;
      uint8_t *to = pixels + (((size_t)(top + y) * picture->width + left + x) * picture->channels + first) * bytes;
      const int wanted = picture->channels - first < samples ? picture->channels - first : samples;
      if (wanted > 0)
        memcpy(to, from, wanted * bytes);
    }
}

static int decode_direct(TIFF *tiff, const layout *page, const tsdf_picture *picture, uint8_t *pixels) {
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
  if (room <= 0 || !rows || !columns || (uint64_t)room < (uint64_t)columns * rows * samples * page->bits / 8)
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
static void normalize(const layout *page, const tsdf_picture *picture, uint8_t *pixels) {
  const size_t count = (size_t)picture->width * picture->height;
  const int channels = picture->channels, is_wide = page->bits == 16, peak = is_wide ? 65535 : 255;
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

static void take_metadata(TIFF *tiff, tsdf_picture *picture, tsdf_metadata *metadata) {
  uint32_t size;
  uint16_t count;
  void *bytes;
  float x = 0, y = 0;
  uint16_t unit = RESUNIT_INCH;
  if (TIFFGetField(tiff, TIFFTAG_ICCPROFILE, &size, &bytes))
    tsdf_copy(&metadata->profile, bytes, size);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_RESOLUTIONUNIT, &unit);
  if (TIFFGetField(tiff, TIFFTAG_XRESOLUTION, &x) && TIFFGetField(tiff, TIFFTAG_YRESOLUTION, &y) && x > 0 && y > 0)
    metadata->density = (tsdf_density){unit == RESUNIT_INCH ? 1 : unit == RESUNIT_CENTIMETER ? 2 : 0, x, y};
  if (TIFFGetField(tiff, TIFFTAG_SUBIFD, &count, &bytes) || !TIFFLastDirectory(tiff))
    picture->left_out |= TSDF_LEFT_OUT_PAGES;
}

int tsdf_tiff_decode(const uint8_t *data, size_t size, tsdf_picture *picture, uint8_t *pixels, tsdf_metadata *metadata,
                     tsdf_report *report) {
  tsdf_tiff_memory memory = {.data = data, .size = size, .report = report};
  layout page = {0};
  TIFF *tiff = tsdf_tiff_open(&memory, "rm");
  if (!tiff)
    return -1;
  int result = describe(tiff, &page, picture, report);
  if (!result)
    result = page.is_direct ? decode_direct(tiff, &page, picture, pixels) : decode_by_conversion(tiff, picture, pixels);
  if (!result && page.is_direct)
    normalize(&page, picture, pixels);
  if (!result)
    take_metadata(tiff, picture, metadata);
  TIFFClose(tiff);
  return result ? tsdf_fail(report, "is truncated or damaged") : 0;
}
