// libjpeg-turbo: reading.
#include "jpeg.h"

#include <stdlib.h>
#include <string.h>

#include <jerror.h>

// What the segments of a file hold. Thousands of comments are taken in one pass: libjpeg's own list is walked to its end for
// each that is added.
typedef struct {
  tsdf_metadata *metadata;
  tsdf_buffer texts, iptc;
  tsdf_bytes profile[256]; // parts, whose numbers start at 1
  int left_out, has_extension;
} segments;

static int starts(const uint8_t *data, size_t size, const char *with, size_t length) {
  return size >= length && !memcmp(data, with, length);
}
#define STARTS(with) starts(data, size, with, sizeof with - 1)

static void take(j_decompress_ptr jpeg, int marker, const uint8_t *data, size_t size) {
  segments *to = jpeg->client_data;
  int failed = 0;
  if (marker == JPEG_COM) {
    failed = tsdf_append_text(&to->texts, "Comment", data, size);
  } else if (marker == JPEG_APP0 + 1 && STARTS("Exif\0\0")) {
    if (!to->metadata->exif.data)
      failed = tsdf_copy(&to->metadata->exif, data + 6, size - 6);
  } else if (marker == JPEG_APP0 + 1 && STARTS("http://ns.adobe.com/xap/1.0/\0")) {
    if (!to->metadata->xmp.data)
      failed = tsdf_copy(&to->metadata->xmp, data + 29, size - 29);
  } else if (marker == JPEG_APP0 + 1 && STARTS("http://ns.adobe.com/xmp/extension/\0")) {
    to->left_out |= TSDF_LEFT_OUT_METADATA;
    to->has_extension = 1;
  } else if (marker == JPEG_APP0 + 2 && STARTS("ICC_PROFILE\0") && size > 14) {
    to->profile[data[12]] = (tsdf_bytes){(uint8_t *)data + 14, size - 14};
  } else if (marker == JPEG_APP0 + 2 && STARTS("MPF\0")) {
    to->left_out |= TSDF_LEFT_OUT_PAGES;
  } else if (marker == JPEG_APP0 + 13 && STARTS("Photoshop 3.0\0")) {
    failed = tsdf_append(&to->iptc, data + 14, size - 14);
  }
  if (failed)
    ERREXIT1(jpeg, JERR_OUT_OF_MEMORY, 0);
}

// Called with the position right behind a marker.
static boolean on_segment(j_decompress_ptr jpeg) {
  struct jpeg_source_mgr *source = jpeg->src;
  const uint8_t *data = source->next_input_byte;
  const size_t length = source->bytes_in_buffer >= 2 ? (size_t)data[0] << 8 | data[1] : 0;
  if (length < 2 || length > source->bytes_in_buffer) {
    // Cut short: libjpeg then meets the end, and says so.
    source->bytes_in_buffer = 0;
    return TRUE;
  }
  take(jpeg, jpeg->unread_marker, data + 2, length - 2);
  source->next_input_byte += length;
  source->bytes_in_buffer -= length;
  return TRUE;
}

static void open_jpeg(struct jpeg_decompress_struct *jpeg, const uint8_t *data, size_t size) {
  jpeg_mem_src(jpeg, data, size);
  jpeg_read_header(jpeg, TRUE);
  switch (jpeg->jpeg_color_space) {
  case JCS_GRAYSCALE:
    jpeg->out_color_space = JCS_GRAYSCALE;
    break;
  case JCS_CMYK:
  case JCS_YCCK:
    jpeg->out_color_space = JCS_CMYK;
    break;
  default:
    jpeg->out_color_space = JCS_RGB;
  }
}

static int join_profile(segments *from) {
  tsdf_buffer profile = {0};
  for (int part = 1; part < 256 && from->profile[part].data; ++part)
    if (tsdf_append(&profile, from->profile[part].data, from->profile[part].size))
      return -1;
  from->metadata->profile = (tsdf_bytes){profile.data, profile.size};
  return 0;
}

static void describe(const struct jpeg_decompress_struct *jpeg, tsdf_picture *picture) {
  picture->width = jpeg->image_width;
  picture->height = jpeg->image_height;
  picture->is_cmyk = jpeg->out_color_space == JCS_CMYK;
  picture->channels = jpeg->out_color_space == JCS_GRAYSCALE ? 1 : picture->is_cmyk ? 4 : 3;
  picture->bit_depth = picture->precision = 8;
  picture->orientation = 1;
}

int tsdf_jpeg_read_header(const uint8_t *data, size_t size, tsdf_picture *picture, tsdf_report *report) {
  struct jpeg_decompress_struct jpeg;
  tsdf_jpeg_errors errors;
  jpeg.err = tsdf_jpeg_use(&errors, report);
  if (setjmp(errors.escape)) {
    jpeg_destroy_decompress(&jpeg);
    return -1;
  }
  jpeg_create_decompress(&jpeg);
  open_jpeg(&jpeg, data, size);
  describe(&jpeg, picture);
  jpeg_destroy_decompress(&jpeg);
  return 0;
}

// A progressive file costs its whole size for each scan.
static void on_progress(j_common_ptr common) {
  if (common->is_decompressor && ((j_decompress_ptr)common)->input_scan_number > 500)
    ERREXIT(common, JERR_BAD_PROGRESSION);
}

static void take_segments(struct jpeg_decompress_struct *jpeg, segments *to) {
  jpeg->client_data = to;
  // Not APP0 and APP14, which say how the picture is stored: libjpeg reads these.
  for (int marker = JPEG_APP0 + 1; marker <= JPEG_APP0 + 15; ++marker)
    if (marker != JPEG_APP0 + 14)
      jpeg_set_marker_processor(jpeg, marker, on_segment);
  jpeg_set_marker_processor(jpeg, JPEG_COM, on_segment);
}

static void finish_metadata(struct jpeg_decompress_struct *jpeg, segments *found) {
  tsdf_metadata *metadata = found->metadata;
  if (jpeg->saw_JFIF_marker)
    metadata->density = (tsdf_density){jpeg->density_unit, jpeg->X_density, jpeg->Y_density};
  metadata->texts = (tsdf_bytes){found->texts.data, found->texts.size};
  metadata->iptc = (tsdf_bytes){found->iptc.data, found->iptc.size};
  found->texts.data = found->iptc.data = NULL;
  if (join_profile(found))
    ERREXIT1(jpeg, JERR_OUT_OF_MEMORY, 0);
}

int tsdf_jpeg_decode(const uint8_t *data, size_t size, tsdf_picture *picture, uint8_t *pixels, tsdf_metadata *metadata,
                     tsdf_report *report) {
  struct jpeg_decompress_struct jpeg;
  struct jpeg_progress_mgr progress = {.progress_monitor = on_progress};
  tsdf_jpeg_errors errors;
  segments found = {.metadata = metadata};
  jpeg.err = tsdf_jpeg_use(&errors, report);
  if (setjmp(errors.escape)) {
    jpeg_destroy_decompress(&jpeg);
    free(found.texts.data);
    free(found.iptc.data);
    tsdf_metadata_free(metadata);
    return -1;
  }
  jpeg_create_decompress(&jpeg);
  jpeg.progress = &progress;
  take_segments(&jpeg, &found);
  open_jpeg(&jpeg, data, size);
  jpeg_start_decompress(&jpeg);
  const int is_inverted = picture->is_cmyk && jpeg.saw_Adobe_marker; // Adobe writes CMYK upside down
  const size_t stride = (size_t)jpeg.output_width * jpeg.output_components;
  while (jpeg.output_scanline < jpeg.output_height) {
    uint8_t *row = pixels + jpeg.output_scanline * stride;
    jpeg_read_scanlines(&jpeg, &row, 1);
    if (is_inverted)
      for (size_t i = 0; i < stride; ++i)
        row[i] = 255 - row[i];
  }
  jpeg_finish_decompress(&jpeg);
  finish_metadata(&jpeg, &found);
  picture->left_out = found.left_out;
  if (found.has_extension)
    tsdf_note(report, "XMP data of more than 64 KiB: what is behind the first packet is left out of the copy");
  if (memmem(data, size < 65536 ? size : 65536, "JFXX\0", 5))
    picture->left_out |= TSDF_LEFT_OUT_THUMBNAIL;
  // Behind the end lie films, gain maps and second pictures.
  if (tsdf_has_trailer(data, size, size - jpeg.src->bytes_in_buffer))
    picture->left_out |= TSDF_LEFT_OUT_TRAILER;
  jpeg_destroy_decompress(&jpeg);
  return 0;
}
