#include "jpeg.h"

#include <jerror.h>

static void fail(j_common_ptr common) {
  tsdf_jpeg_errors *errors = (tsdf_jpeg_errors *)common->err;
  char text[JMSG_LENGTH_MAX];
  errors->base.format_message(common, text);
  tsdf_fail(errors->report, "%s", text);
  longjmp(errors->escape, 1);
}

// What is damaged is shown as far as it goes, as browsers do, and said. Stray bytes and Samsung's end of spectrum are harmless.
static void on_message(j_common_ptr common, int level) {
  tsdf_jpeg_errors *errors = (tsdf_jpeg_errors *)common->err;
  const int code = common->err->msg_code;
  if (level >= 0 || code == JWRN_EXTRANEOUS_DATA || code == JWRN_JFIF_MAJOR)
    return;
  char text[JMSG_LENGTH_MAX];
  errors->base.format_message(common, text);
  tsdf_note(errors->report, "%s", text);
}

struct jpeg_error_mgr *tsdf_jpeg_use(tsdf_jpeg_errors *errors, tsdf_report *report) {
  struct jpeg_error_mgr *base = jpeg_std_error(&errors->base);
  base->error_exit = fail;
  base->emit_message = on_message;
  errors->report = report;
  return base;
}
