// What reading and writing HEIC and AVIF share.
#ifndef TSDF_HEIF_H
#define TSDF_HEIF_H

#include "support.h"

#include <libheif/heif.h>

// States what libheif fails of; whether it does.
static inline int tsdf_heif_failed(struct heif_error error, tsdf_report *report) {
  switch (error.code) {
  case heif_error_Ok:
    return 0;
  case heif_error_Unsupported_filetype:
  case heif_error_Unsupported_feature:
  case heif_error_Plugin_loading_error:
    tsdf_fail(report, "is of a form of HEIC or AVIF that this machine's libheif does not have");
    break;
  case heif_error_Memory_allocation_error:
    tsdf_fail(report, "needs more memory than libheif takes");
    break;
  case heif_error_Encoder_plugin_error:
  case heif_error_Encoding_error:
  case heif_error_Color_profile_does_not_exist:
  case heif_error_Usage_error:
    tsdf_fail(report, "cannot be written as HEIC or AVIF by this machine's libheif");
    break;
  default:
    tsdf_fail(report, "is truncated or damaged");
  }
  return 1;
}

// Interleaved samples as we have them.
static inline enum heif_chroma tsdf_heif_form(const tsdf_picture *picture) {
  static const enum heif_chroma forms[] = {heif_chroma_interleaved_RGB, heif_chroma_interleaved_RGBA,
                                           heif_chroma_interleaved_RRGGBB_LE, heif_chroma_interleaved_RRGGBBAA_LE};
  return forms[(picture->channels == 4) + 2 * (picture->bit_depth == 16)];
}

#endif
