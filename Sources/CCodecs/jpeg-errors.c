#include "jpeg.h"

#include <jerror.h>

// What libjpeg says of a fault is for programmers.
static const char *error_text(int code) {
  switch (code) {
  case JERR_SOF_UNSUPPORTED:
  case JERR_BAD_PRECISION:
  case JERR_BAD_J_COLORSPACE:
  case JERR_CONVERSION_NOTIMPL:
  case JERR_CCIR601_NOTIMPL:
  case JERR_FRACT_SAMPLE_NOTIMPL:
  case JERR_ARITH_NOTIMPL:
  case JERR_NOTIMPL:
  case JERR_NOT_COMPILED:
    return "is of a kind of JPEG that is not read";
  case JERR_EMPTY_IMAGE:
    return "has no pixels";
  case JERR_IMAGE_TOO_BIG:
    return "has more pixels than a JPEG file can have";
  case JERR_OUT_OF_MEMORY:
    return "out of memory";
  default:
    return "is truncated or damaged";
  }
}

static void fail(j_common_ptr common) {
  tsdf_jpeg_errors *errors = (tsdf_jpeg_errors *)common->err;
  tsdf_fail(errors->report, "%s", error_text(common->err->msg_code));
  longjmp(errors->escape, 1);
}

// What is damaged is shown as far as it goes, as browsers do, and said. Stray bytes and Samsung's end of spectrum are harmless.
static void on_message(j_common_ptr common, int level) {
  tsdf_jpeg_errors *errors = (tsdf_jpeg_errors *)common->err;
  const int code = common->err->msg_code;
  if (level >= 0 || code == JWRN_EXTRANEOUS_DATA || code == JWRN_JFIF_MAJOR)
    return;
  tsdf_note(errors->report, code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER ? "is cut short: what is missing is grey or coarse"
                                                                             : "is damaged: shown as far as it goes");
}

struct jpeg_error_mgr *tsdf_jpeg_use(tsdf_jpeg_errors *errors, tsdf_report *report) {
  struct jpeg_error_mgr *base = jpeg_std_error(&errors->base);
  base->error_exit = fail;
  base->emit_message = on_message;
  errors->report = report;
  return base;
}
