#include "CPNG.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  const uint8_t *data;
  size_t size, position;
} source;

typedef struct {
  uint8_t *data;
  size_t size, capacity;
} sink;

typedef struct {
  char *message;
  size_t size;
} report;

static void on_error(png_structp png, png_const_charp text) {
  report *to = png_get_error_ptr(png);
  strncpy(to->message, text, to->size - 1);
  to->message[to->size - 1] = 0;
  longjmp(png_jmpbuf(png), 1);
}

static void on_warning(png_structp png, png_const_charp text) {
  (void)png;
  (void)text;
}

static void read_bytes(png_structp png, png_bytep to, size_t count) {
  source *from = png_get_io_ptr(png);
  if (from->size - from->position < count)
    png_error(png, "the file is truncated");
  memcpy(to, from->data + from->position, count);
  from->position += count;
}

static void write_bytes(png_structp png, png_bytep from, size_t count) {
  sink *to = png_get_io_ptr(png);
  if (to->size + count > to->capacity) {
    size_t capacity = to->capacity * 2 + count + 65536;
    uint8_t *grown = realloc(to->data, capacity);
    if (!grown)
      png_error(png, "out of memory");
    to->data = grown;
    to->capacity = capacity;
  }
  memcpy(to->data + to->size, from, count);
  to->size += count;
}

static void flush_bytes(png_structp png) { (void)png; }

// Reads the header, sets the expansions, and decodes when pixels is not NULL.
static int read_png(const uint8_t *data, size_t size, tsdf_png_header *header, uint8_t *pixels, char *message,
                    size_t message_size) {
  report to = {message, message_size};
  if (size < 8 || png_sig_cmp(data, 0, 8)) {
    strncpy(message, "not a PNG file", message_size);
    return -1;
  }
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &to, on_error, on_warning);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  png_bytep *volatile rows = NULL;
  if (!info) {
    png_destroy_read_struct(&png, NULL, NULL);
    strncpy(message, "out of memory", message_size);
    return -1;
  }
  if (setjmp(png_jmpbuf(png))) {
    free((void *)rows);
    png_destroy_read_struct(&png, &info, NULL);
    return -1;
  }
  source from = {data, size, 0};
  png_set_read_fn(png, &from, read_bytes);
  png_set_user_limits(png, 1000000, 1000000);
  png_read_info(png, info);
  png_set_expand(png);
  if (png_get_bit_depth(png, info) == 16)
    png_set_swap(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  header->width = png_get_image_width(png, info);
  header->height = png_get_image_height(png, info);
  header->channels = png_get_channels(png, info);
  header->bit_depth = png_get_bit_depth(png, info);
  if (pixels) {
    size_t stride = png_get_rowbytes(png, info);
    rows = malloc(sizeof(png_bytep) * header->height);
    if (!rows)
      png_error(png, "out of memory");
    for (uint32_t y = 0; y < header->height; ++y)
      rows[y] = pixels + y * stride;
    png_read_image(png, rows);
    png_read_end(png, NULL);
    free((void *)rows);
  }
  png_destroy_read_struct(&png, &info, NULL);
  return 0;
}

int tsdf_png_read_header(const uint8_t *data, size_t size, tsdf_png_header *header, char *message,
                         size_t message_size) {
  return read_png(data, size, header, NULL, message, message_size);
}

int tsdf_png_decode(const uint8_t *data, size_t size, uint8_t *pixels, char *message, size_t message_size) {
  tsdf_png_header header;
  return read_png(data, size, &header, pixels, message, message_size);
}

int tsdf_png_encode(const tsdf_png_header *header, const uint8_t *pixels, uint8_t **data, size_t *size, char *message,
                    size_t message_size) {
  static const int color_types[] = {0, PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                                    PNG_COLOR_TYPE_RGB_ALPHA};
  report to = {message, message_size};
  sink out = {NULL, 0, 0};
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &to, on_error, on_warning);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  if (!info) {
    png_destroy_write_struct(&png, NULL);
    strncpy(message, "out of memory", message_size);
    return -1;
  }
  if (setjmp(png_jmpbuf(png))) {
    free(out.data);
    png_destroy_write_struct(&png, &info);
    return -1;
  }
  png_set_write_fn(png, &out, write_bytes, flush_bytes);
  png_set_IHDR(png, info, header->width, header->height, header->bit_depth, color_types[header->channels],
               PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  if (header->bit_depth == 16)
    png_set_swap(png);
  size_t stride = (size_t)header->width * header->channels * header->bit_depth / 8;
  for (uint32_t y = 0; y < header->height; ++y)
    png_write_row(png, pixels + y * stride);
  png_write_end(png, NULL);
  png_destroy_write_struct(&png, &info);
  *data = out.data;
  *size = out.size;
  return 0;
}
