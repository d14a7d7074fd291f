// Which page of a TIFF file is the picture, and how it stores its samples.
#include "tiff.h"

// So many pages are looked at for a full one.
enum { MOST_PAGES = 256 };

// Color filter arrays, which TIFF/EP and DNG have.
enum { PHOTOMETRIC_CFA_ARRAY = 32803, PHOTOMETRIC_LINEAR = 34892 };

static uint32_t kind_of_page(TIFF *tiff) {
  uint32_t kind = 0;
  TIFFGetField(tiff, TIFFTAG_SUBFILETYPE, &kind);
  return kind;
}

// Some programs put a small picture or a mask before the picture.
static void go_to_picture(TIFF *tiff, tsdf_tiff_page *page, tsdf_report *report) {
  const uint32_t others = FILETYPE_REDUCEDIMAGE | FILETYPE_MASK;
  if (!(kind_of_page(tiff) & others))
    return;
  for (int number = 1; number < MOST_PAGES && !page->number && TIFFReadDirectory(tiff); ++number)
    if (!(kind_of_page(tiff) & others))
      page->number = number;
  if (!page->number)
    TIFFSetDirectory(tiff, 0);
  report->error[0] = 0; // pages that cannot be read are none
}

// Cameras' raw files are TIFF files whose first picture is a preview, of the samples that lie in directories below.
static int is_raw(TIFF *tiff) {
  uint32_t count;
  uint16_t below;
  void *value;
  return TIFFGetField(tiff, TIFFTAG_DNGVERSION, &value) || TIFFGetField(tiff, 50752 /* CR2's slices */, &count, &value) ||
         ((kind_of_page(tiff) & FILETYPE_REDUCEDIMAGE) && TIFFGetField(tiff, TIFFTAG_SUBIFD, &below, &value));
}

static void read_fields(TIFF *tiff, tsdf_tiff_page *page) {
  TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &page->bits);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &page->samples);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &page->planar);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &page->format);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &page->orientation);
  if (!TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &page->photometric))
    page->photometric = page->samples < 3 ? PHOTOMETRIC_MINISBLACK : PHOTOMETRIC_RGB;
}

static int refuse(const tsdf_tiff_page *page, tsdf_report *report) {
  const char *kind = page->format == SAMPLEFORMAT_IEEEFP ? "floating-point numbers"
                     : page->format == SAMPLEFORMAT_INT  ? "signed numbers"
                     : page->format == SAMPLEFORMAT_UINT ? "numbers"
                                                         : "numbers of an unknown kind";
  return tsdf_fail(report, "stores its samples as %s of %d bits, which are not read", kind, page->bits);
}

int tsdf_tiff_describe(TIFF *tiff, tsdf_tiff_page *page, tsdf_picture *picture, tsdf_report *report) {
  uint16_t extras = 0, *kinds = NULL, compression = COMPRESSION_NONE;
  const int first_is_raw = is_raw(tiff);
  if (!first_is_raw)
    go_to_picture(tiff, page, report);
  read_fields(tiff, page);
  if (first_is_raw || is_raw(tiff) || page->photometric == PHOTOMETRIC_CFA_ARRAY || page->photometric == PHOTOMETRIC_LINEAR)
    return tsdf_fail(report, "is a camera's raw file; develop it to a TIFF or JPEG file first");
  if (!TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &picture->width) || !TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &picture->height))
    return tsdf_fail(report, "has no size");
  TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &compression);
  if (!TIFFIsCODECConfigured(compression))
    return tsdf_fail(report, "is compressed in a way that is not read (number %d of TIFF's)", compression);
  if (TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &extras, &kinds) && extras > 0)
    page->is_premultiplied = kinds[0] == EXTRASAMPLE_ASSOCALPHA;
  const int is_grey = page->photometric == PHOTOMETRIC_MINISBLACK || page->photometric == PHOTOMETRIC_MINISWHITE;
  const int colors = is_grey ? 1 : page->photometric == PHOTOMETRIC_SEPARATED ? 4 : 3;
  const int is_wide = page->bits > 8;
  page->is_lab = (page->photometric == PHOTOMETRIC_CIELAB || page->photometric == PHOTOMETRIC_ICCLAB) &&
                 (page->bits == 8 || page->bits == 16);
  page->has_alpha = page->samples > colors && extras > 0 && kinds[0] != EXTRASAMPLE_UNSPECIFIED;
  page->is_direct = page->bits >= 1 && page->bits <= 16 && page->samples >= colors && page->samples < 64 &&
                    (page->format == SAMPLEFORMAT_UINT || (page->format == SAMPLEFORMAT_INT && page->is_lab)) &&
                    (is_grey || page->photometric == PHOTOMETRIC_RGB || colors == 4 || page->is_lab);
  picture->compression = compression;
  picture->orientation = page->orientation >= 1 && page->orientation <= 8 ? page->orientation : 1;
  picture->is_cmyk = page->is_direct && colors == 4;
  picture->bit_depth = picture->precision = page->is_direct && is_wide ? 16 : 8;
  picture->channels = page->is_direct ? colors + (page->has_alpha && colors < 4) : is_grey ? 1 : page->has_alpha ? 4 : 3;
  const uint64_t size = (uint64_t)picture->width * picture->height * page->samples * page->bits / 8;
  if (TIFFIsTiled(tiff) && TIFFTileSize64(tiff) > 2 * size && TIFFTileSize64(tiff) > 16 << 20)
    return tsdf_fail(report, "has tiles that are far larger than the picture");
  char why[1024];
  if (!page->is_direct && (page->format != SAMPLEFORMAT_UINT || page->bits > 16 || !TIFFRGBAImageOK(tiff, why)))
    return refuse(page, report);
  return 0;
}
