// LittleCMS: profiles.
#include "support.h"

#include <lcms2.h>
#include <stdlib.h>

int tsdf_profile_channels(const uint8_t *data, size_t size) {
  cmsHPROFILE profile = size <= UINT32_MAX ? cmsOpenProfileFromMem(data, size) : NULL;
  if (!profile)
    return 0;
  const cmsColorSpaceSignature space = cmsGetColorSpace(profile);
  cmsCloseProfile(profile);
  return space == cmsSigGrayData ? 1 : space == cmsSigRgbData ? 3 : space == cmsSigCmykData ? 4 : 0;
}

static cmsHTRANSFORM make_transform(const uint8_t *data, size_t size, int bit_depth) {
  if (tsdf_profile_channels(data, size) != 4)
    return NULL;
  cmsHPROFILE from = cmsOpenProfileFromMem(data, size), to = cmsCreate_sRGBProfile();
  const int is_wide = bit_depth == 16;
  cmsHTRANSFORM transform = from && to ? cmsCreateTransform(from, is_wide ? TYPE_CMYK_16 : TYPE_CMYK_8, to,
                                                            is_wide ? TYPE_RGB_16 : TYPE_RGB_8, INTENT_PERCEPTUAL, 0)
                                       : NULL;
  if (from)
    cmsCloseProfile(from);
  if (to)
    cmsCloseProfile(to);
  return transform;
}

// Each ink swallows its share of the light.
static void mix_inks(uint8_t *pixels, size_t count, int bit_depth) {
  uint16_t *wide = (uint16_t *)pixels;
  for (size_t i = 0; i < count; ++i)
    for (int c = 0; c < 3; ++c) {
      if (bit_depth == 16)
        wide[3 * i + c] = (uint64_t)(65535 - wide[4 * i + c]) * (65535 - wide[4 * i + 3]) / 65535;
      else
        pixels[3 * i + c] = (255 - pixels[4 * i + c]) * (255 - pixels[4 * i + 3]) / 255;
    }
}

int tsdf_cmyk_to_srgb(const uint8_t *profile, size_t size, uint8_t *pixels, size_t count, int bit_depth, tsdf_report *report) {
  cmsHTRANSFORM transform = make_transform(profile, size, bit_depth);
  if (!transform) {
    mix_inks(pixels, count, bit_depth);
    tsdf_note(report, "CMYK without a profile that can be used: converted to RGB by its inks alone");
    return 0;
  }
  const size_t bytes = bit_depth / 8, part = 65536;
  uint8_t *row = malloc(part * 3 * bytes);
  if (!row) {
    cmsDeleteTransform(transform);
    return tsdf_fail(report, "out of memory");
  }
  for (size_t first = 0; first < count; first += part) {
    const size_t length = count - first < part ? count - first : part;
    cmsDoTransform(transform, pixels + first * 4 * bytes, row, length);
    for (size_t i = 0; i < length * 3 * bytes; ++i)
      pixels[first * 3 * bytes + i] = row[i];
  }
  free(row);
  cmsDeleteTransform(transform);
  tsdf_note(report, "CMYK converted to sRGB by its profile");
  return 0;
}

// As LittleCMS has 16 bits of it: 0 to 100 of lightness are 0 to 65535, a colour of 0 is 0x8080.
static uint16_t lab_sample(int is_icc, int is_wide, const uint8_t *pixels, size_t index, int c) {
  if (!is_wide)
    return (c == 0 || is_icc ? pixels[index] : pixels[index] ^ 0x80) * 257;
  const uint32_t value = ((const uint16_t *)pixels)[index];
  // ICC's older form: 100 of lightness are 0xff00.
  const uint32_t scaled = c == 0 && !is_icc ? value : ((c == 0 || is_icc ? value : value ^ 0x8000) * 257 + 128) / 256;
  return scaled < 65535 ? scaled : 65535;
}

int tsdf_lab_to_srgb(int is_icc, const tsdf_picture *picture, uint8_t *pixels, tsdf_report *report) {
  const int is_wide = picture->bit_depth == 16, channels = picture->channels;
  const size_t count = (size_t)picture->width * picture->height, part = 4096;
  cmsHPROFILE from = cmsCreateLab4Profile(NULL), to = cmsCreate_sRGBProfile(); // of D50
  // Not optimized into a table, in which greys get a cast.
  cmsHTRANSFORM transform =
      from && to ? cmsCreateTransform(from, TYPE_Lab_16, to, TYPE_RGB_16, INTENT_RELATIVE_COLORIMETRIC, cmsFLAGS_NOOPTIMIZE)
                 : NULL;
  uint16_t *row = transform ? malloc(part * 3 * sizeof(uint16_t)) : NULL;
  for (size_t first = 0; row && first < count; first += part) {
    const size_t length = count - first < part ? count - first : part;
    for (size_t i = 0; i < length; ++i)
      for (int c = 0; c < 3; ++c)
        row[3 * i + c] = lab_sample(is_icc, is_wide, pixels, (first + i) * channels + c, c);
    cmsDoTransform(transform, row, row, length);
    for (size_t i = 0; i < length; ++i)
      for (int c = 0; c < 3; ++c) {
        const size_t at = (first + i) * channels + c;
        if (is_wide)
          ((uint16_t *)pixels)[at] = row[3 * i + c];
        else
          pixels[at] = (row[3 * i + c] + 128) / 257;
      }
  }
  const int result = row ? 0 : tsdf_fail(report, "out of memory");
  free(row);
  if (transform)
    cmsDeleteTransform(transform);
  if (from)
    cmsCloseProfile(from);
  if (to)
    cmsCloseProfile(to);
  if (!result)
    tsdf_note(report, "Lab converted to sRGB");
  return result;
}

int tsdf_make_profile(const double c[8], double gamma, tsdf_bytes *bytes) {
  const cmsCIExyY white = {c[0], c[1], 1};
  const cmsCIExyYTRIPLE primaries = {{c[2], c[3], 1}, {c[4], c[5], 1}, {c[6], c[7], 1}};
  const double srgb[] = {2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045};
  cmsToneCurve *curve = gamma > 0 ? cmsBuildGamma(NULL, gamma) : cmsBuildParametricToneCurve(NULL, 4, srgb),
               *curves[] = {curve, curve, curve};
  cmsHPROFILE profile = curve ? cmsCreateRGBProfile(&white, &primaries, curves) : NULL;
  cmsUInt32Number size = 0;
  int result = 0;
  // Numbers that make no profile make none: the picture is then taken for sRGB.
  if (profile && cmsSaveProfileToMem(profile, NULL, &size) && size > 0) {
    bytes->data = malloc(size);
    bytes->size = size;
    result = bytes->data && cmsSaveProfileToMem(profile, bytes->data, &size) ? 0 : -1;
  }
  if (profile)
    cmsCloseProfile(profile);
  if (curve)
    cmsFreeToneCurve(curve);
  return result;
}
