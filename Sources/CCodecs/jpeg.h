// What reading and writing JPEG share: libjpeg-turbo's errors, which are longjmps.
#ifndef TSDF_JPEG_H
#define TSDF_JPEG_H

#include "support.h"

#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

typedef struct {
  struct jpeg_error_mgr base;
  jmp_buf escape;
  tsdf_report *report;
} tsdf_jpeg_errors;

// Lets errors end at `escape`, stated in the report, and warnings become notes.
struct jpeg_error_mgr *tsdf_jpeg_use(tsdf_jpeg_errors *errors, tsdf_report *report);

#endif
