// What reading and writing HEIC and AVIF share.
#ifndef TSDF_HEIF_H
#define TSDF_HEIF_H

#include "support.h"

#include <libheif/heif.h>

// States libheif's error; whether there is one.
static inline int tsdf_heif_failed(struct heif_error error, tsdf_report *report) {
  if (error.code == heif_error_Ok)
    return 0;
  tsdf_fail(report, "%s", error.message ? error.message : "libheif failed");
  return 1;
}

// Interleaved samples as we have them.
static inline enum heif_chroma tsdf_heif_form(const tsdf_picture *picture) {
  static const enum heif_chroma forms[] = {heif_chroma_interleaved_RGB, heif_chroma_interleaved_RGBA,
                                           heif_chroma_interleaved_RRGGBB_LE, heif_chroma_interleaved_RRGGBBAA_LE};
  return forms[(picture->channels == 4) + 2 * (picture->bit_depth == 16)];
}

#endif
