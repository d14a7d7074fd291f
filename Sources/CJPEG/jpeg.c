#include "CJPEG.h"

#include <libexif/exif-data.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

typedef struct {
  struct jpeg_error_mgr base;
  jmp_buf escape;
  char *message;
  size_t size;
} error_manager;

static void fail(j_common_ptr common) {
  error_manager *manager = (error_manager *)common->err;
  char text[JMSG_LENGTH_MAX];
  manager->base.format_message(common, text);
  snprintf(manager->message, manager->size, "%s", text);
  longjmp(manager->escape, 1);
}

// libjpeg goes on after damage and paints what is missing grey; here that is an error. Stray bytes are harmless.
static void on_message(j_common_ptr common, int level) {
  if (level < 0 && common->err->msg_code != JWRN_EXTRANEOUS_DATA)
    fail(common);
}

static struct jpeg_error_mgr *use(error_manager *manager, char *message, size_t size) {
  struct jpeg_error_mgr *base = jpeg_std_error(&manager->base);
  base->error_exit = fail;
  base->emit_message = on_message;
  manager->message = message;
  manager->size = size;
  return base;
}

static void open_jpeg(struct jpeg_decompress_struct *jpeg, const uint8_t *data, size_t size, tsdf_jpeg_header *header) {
  jpeg_mem_src(jpeg, data, size);
  jpeg_read_header(jpeg, TRUE);
  header->width = jpeg->image_width;
  header->height = jpeg->image_height;
  switch (jpeg->jpeg_color_space) {
  case JCS_GRAYSCALE:
    jpeg->out_color_space = JCS_GRAYSCALE;
    header->channels = 1;
    break;
  case JCS_CMYK:
  case JCS_YCCK:
    jpeg->out_color_space = JCS_CMYK;
    header->channels = 4;
    break;
  default:
    jpeg->out_color_space = JCS_RGB;
    header->channels = 3;
  }
}

int tsdf_jpeg_read_header(const uint8_t *data, size_t size, tsdf_jpeg_header *header, char *message,
                          size_t message_size) {
  struct jpeg_decompress_struct jpeg;
  error_manager manager;
  jpeg.err = use(&manager, message, message_size);
  if (setjmp(manager.escape)) {
    jpeg_destroy_decompress(&jpeg);
    return -1;
  }
  jpeg_create_decompress(&jpeg);
  open_jpeg(&jpeg, data, size, header);
  jpeg_destroy_decompress(&jpeg);
  return 0;
}

static int is_kept(jpeg_saved_marker_ptr marker) { return marker->marker != JPEG_APP0 && marker->marker != JPEG_APP0 + 14; }

int tsdf_jpeg_decode(const uint8_t *data, size_t size, uint8_t *pixels, uint8_t **markers, size_t *markers_size,
                     char *message, size_t message_size) {
  struct jpeg_decompress_struct jpeg;
  error_manager manager;
  tsdf_jpeg_header header;
  jpeg.err = use(&manager, message, message_size);
  *markers = NULL;
  *markers_size = 0;
  if (setjmp(manager.escape)) {
    jpeg_destroy_decompress(&jpeg);
    free(*markers);
    *markers = NULL;
    return -1;
  }
  jpeg_create_decompress(&jpeg);
  for (int marker = JPEG_APP0; marker <= JPEG_APP0 + 15; ++marker)
    jpeg_save_markers(&jpeg, marker, 0xFFFF);
  jpeg_save_markers(&jpeg, JPEG_COM, 0xFFFF);
  open_jpeg(&jpeg, data, size, &header);

  size_t total = 0;
  for (jpeg_saved_marker_ptr marker = jpeg.marker_list; marker; marker = marker->next)
    if (is_kept(marker))
      total += 5 + marker->data_length;
  *markers = malloc(total ? total : 1);
  if (!*markers)
    ERREXIT1(&jpeg, JERR_OUT_OF_MEMORY, 0);
  uint8_t *to = *markers;
  for (jpeg_saved_marker_ptr marker = jpeg.marker_list; marker; marker = marker->next) {
    if (!is_kept(marker))
      continue;
    *to++ = marker->marker;
    for (int byte = 0; byte < 4; ++byte)
      *to++ = marker->data_length >> (8 * byte);
    memcpy(to, marker->data, marker->data_length);
    to += marker->data_length;
  }
  *markers_size = total;

  const int inverted = jpeg.saw_Adobe_marker;   // Adobe writes CMYK upside down
  jpeg_start_decompress(&jpeg);
  const size_t stride = (size_t)jpeg.output_width * jpeg.output_components;
  while (jpeg.output_scanline < jpeg.output_height) {
    uint8_t *row = pixels + jpeg.output_scanline * stride;
    jpeg_read_scanlines(&jpeg, &row, 1);
    if (header.channels == 4 && inverted)
      for (size_t i = 0; i < stride; ++i)
        row[i] = 255 - row[i];
  }
  jpeg_finish_decompress(&jpeg);
  jpeg_destroy_decompress(&jpeg);
  return 0;
}

int tsdf_jpeg_encode(const tsdf_jpeg_header *header, const uint8_t *pixels, int quality, int halved,
                     const uint8_t *markers, size_t markers_size, uint8_t **data, size_t *size, char *message,
                     size_t message_size) {
  struct jpeg_compress_struct jpeg;
  error_manager manager;
  unsigned char *volatile out = NULL;
  unsigned long out_size = 0;
  jpeg.err = use(&manager, message, message_size);
  if (setjmp(manager.escape)) {
    jpeg_destroy_compress(&jpeg);
    free(out);
    return -1;
  }
  jpeg_create_compress(&jpeg);
  jpeg_mem_dest(&jpeg, (unsigned char **)&out, &out_size);
  jpeg.image_width = header->width;
  jpeg.image_height = header->height;
  jpeg.input_components = header->channels;
  jpeg.in_color_space = header->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, quality, TRUE);
  // The samples of a component beside those of the smallest: lightness has twice as many a side where colours are halved.
  for (int component = 0; component < jpeg.num_components; ++component)
    jpeg.comp_info[component].h_samp_factor = jpeg.comp_info[component].v_samp_factor =
        halved && component == 0 && jpeg.num_components == 3 ? 2 : 1;
  jpeg.optimize_coding = TRUE;
  jpeg_start_compress(&jpeg, TRUE);
  for (size_t at = 0; at + 5 <= markers_size;) {
    const uint8_t *head = markers + at;
    const uint32_t length = head[1] | head[2] << 8 | head[3] << 16 | (uint32_t)head[4] << 24;
    jpeg_write_marker(&jpeg, head[0], head + 5, length);
    at += 5 + length;
  }
  const size_t stride = (size_t)header->width * header->channels;
  while (jpeg.next_scanline < jpeg.image_height) {
    JSAMPROW row = (JSAMPROW)(pixels + jpeg.next_scanline * stride);
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  *data = out;
  *size = out_size;
  return 0;
}

int tsdf_exif_orientation(const uint8_t *data, size_t size) {
  ExifData *exif = exif_data_new_from_data(data, size);
  if (!exif)
    return 1;
  ExifEntry *entry = exif_data_get_entry(exif, EXIF_TAG_ORIENTATION);
  int orientation = 1;
  if (entry && entry->size >= 2)
    orientation = exif_get_short(entry->data, exif_data_get_byte_order(exif));
  exif_data_unref(exif);
  return orientation >= 1 && orientation <= 8 ? orientation : 1;
}
