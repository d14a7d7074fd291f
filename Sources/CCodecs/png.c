// libpng, whose errors are longjmps.
#include "support.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

// Compressed metadata are unpacked up to this much, and so many of them.
enum { LARGEST_CHUNK = 2 << 20, MOST_CHUNKS = 128 };

typedef struct {
  const uint8_t *data;
  size_t size, position;
  int left_out;
  int has_code_points, primaries, transfer;
} source;

// Whatever stops libpng; our own words, if any, were stated before.
static void on_error(png_structp png, png_const_charp text) {
  (void)text;
  tsdf_fail(png_get_error_ptr(png), "is truncated or damaged");
  longjmp(png_jmpbuf(png), 1);
}

static void on_warning(png_structp png, png_const_charp text) {
  (void)text;
  tsdf_note(png_get_error_ptr(png), "some of its metadata are damaged or too large: left out of the copy or mended");
}

static void fail(png_structp png, const char *text) {
  tsdf_fail(png_get_error_ptr(png), "%s", text);
  png_error(png, text);
}

static void read_bytes(png_structp png, png_bytep to, size_t count) {
  source *from = png_get_io_ptr(png);
  if (from->size - from->position < count)
    fail(png, "is truncated");
  memcpy(to, from->data + from->position, count);
  from->position += count;
  // A chunk's head: libpng takes memory for all that it promises.
  if ((png_get_io_state(png) & PNG_IO_MASK_LOC) == PNG_IO_CHUNK_HDR && count == 8 &&
      png_get_uint_32(to) > from->size - from->position)
    fail(png, "is truncated");
}

static void write_bytes(png_structp png, png_bytep from, size_t count) {
  if (tsdf_append(png_get_io_ptr(png), from, count))
    fail(png, "out of memory");
}

static void flush_bytes(png_structp png) { (void)png; }

// Chunks that libpng does not know are not copied as they are; an animation's say what else there was.
static int on_unknown_chunk(png_structp png, png_unknown_chunkp chunk) {
  source *from = png_get_user_chunk_ptr(png);
  if (!memcmp(chunk->name, "fdAT", 4))
    from->left_out |= TSDF_LEFT_OUT_ANIMATION;
  // Code points of colours, of RGB samples in their full range.
  if (!memcmp(chunk->name, "cICP", 4) && chunk->size == 4 && !chunk->data[2] && chunk->data[3] == 1) {
    from->has_code_points = 1;
    from->primaries = chunk->data[0];
    from->transfer = chunk->data[1];
  }
  return 1;
}

// Sets the expansions and says what will be delivered.
static void open_png(png_structp png, png_infop info, source *from, tsdf_picture *picture) {
  png_set_read_fn(png, from, read_bytes);
  png_set_option(png, PNG_SKIP_sRGB_CHECK_PROFILE, PNG_OPTION_ON);
  png_set_read_user_chunk_fn(png, from, on_unknown_chunk);
  png_set_user_limits(png, 1000000, 1000000);
  png_set_chunk_malloc_max(png, LARGEST_CHUNK);
  png_set_chunk_cache_max(png, MOST_CHUNKS);
  png_read_info(png, info);
  png_set_expand(png);
  if (png_get_bit_depth(png, info) == 16)
    png_set_swap(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  picture->width = png_get_image_width(png, info);
  picture->height = png_get_image_height(png, info);
  picture->channels = png_get_channels(png, info);
  picture->bit_depth = picture->precision = png_get_bit_depth(png, info);
  picture->orientation = 1;
}

static void take_texts(png_structp png, png_infop info, tsdf_metadata *metadata, tsdf_buffer *texts) {
  png_textp text;
  int count = png_get_text(png, info, &text, NULL);
  for (int i = 0; i < count; ++i) {
    const size_t size = text[i].compression > 0 ? text[i].itxt_length : text[i].text_length;
    if (!strcmp(text[i].key, "XML:com.adobe.xmp") ? tsdf_copy(&metadata->xmp, text[i].text, size)
                                                  : tsdf_append_text(texts, text[i].key, text[i].text, size))
      fail(png, "out of memory");
  }
}

// A profile for what gAMA and cHRM say, unless that is sRGB.
static int make_profile(png_structp png, png_infop info, tsdf_bytes *profile) {
  static const double srgb[8] = {0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06};
  double found[8], gamma = 1 / 2.2;
  int differs = 0, intent;
  if (png_get_sRGB(png, info, &intent))
    return 0;
  if (!png_get_cHRM(png, info, &found[0], &found[1], &found[2], &found[3], &found[4], &found[5], &found[6], &found[7]))
    memcpy(found, srgb, sizeof found);
  png_get_gAMA(png, info, &gamma);
  for (int i = 0; i < 8; ++i)
    differs |= found[i] < srgb[i] - 0.002 || found[i] > srgb[i] + 0.002;
  differs |= gamma < 0.44 || gamma > 0.47;
  return differs && gamma > 0 ? tsdf_make_profile(found, 1 / gamma, profile) : 0;
}

static void take_metadata(png_structp png, png_infop info, const source *from, tsdf_picture *picture, tsdf_metadata *metadata,
                          tsdf_buffer *texts) {
  png_charp name;
  png_bytep bytes;
  png_uint_32 size, x, y;
  int method, unit, failed = 0;
  if (from->has_code_points && picture->channels >= 3) // which the standard has go before all else
    failed |= tsdf_take_code_points(from->primaries, from->transfer, picture, &metadata->profile);
  else if (png_get_iCCP(png, info, &name, &method, &bytes, &size))
    failed |= tsdf_copy(&metadata->profile, bytes, size);
  else
    failed |= make_profile(png, info, &metadata->profile);
  if (png_get_eXIf_1(png, info, &size, &bytes)) {
    const uint8_t *exif = bytes;
    size_t length = size;
    tsdf_skip_exif_mark(&exif, &length);
    failed |= tsdf_copy(&metadata->exif, exif, length);
  }
  if (png_get_pHYs(png, info, &x, &y, &unit))
    metadata->density = (tsdf_density){unit == PNG_RESOLUTION_METER ? 3 : 0, x, y};
  if (failed)
    fail(png, "out of memory");
  take_texts(png, info, metadata, texts);
}

// Reads the header and, where there is room for pixels, the whole file.
static int read_png(const uint8_t *data, size_t size, tsdf_picture *picture, uint8_t *pixels, tsdf_metadata *metadata,
                    tsdf_report *report) {
  source from = {.data = data, .size = size};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, report, on_error, on_warning);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  png_bytep *volatile rows = NULL;
  // What is read: the pixels as they are, then the rest of the file.
  volatile enum { SOME_PIXELS, ALL_PIXELS, ALL } read = SOME_PIXELS;
  tsdf_buffer texts = {0};
  if (!info) {
    png_destroy_read_struct(&png, NULL, NULL);
    return tsdf_fail(report, "out of memory");
  }
  if (setjmp(png_jmpbuf(png))) {
    if (read != ALL_PIXELS) {
      free((void *)rows);
      free(texts.data);
      if (metadata)
        tsdf_metadata_free(metadata);
      png_destroy_read_struct(&png, &info, NULL);
      return -1;
    }
    tsdf_note(report, "is cut short or damaged behind its pixels, which are whole");
  } else {
    open_png(png, info, &from, picture);
  }
  if (pixels && read == SOME_PIXELS) {
    const size_t stride = png_get_rowbytes(png, info);
    rows = malloc(sizeof(png_bytep) * picture->height);
    if (!rows)
      fail(png, "out of memory");
    for (uint32_t y = 0; y < picture->height; ++y)
      rows[y] = pixels + y * stride;
    png_read_image(png, rows);
    free((void *)rows);
    rows = NULL;
    read = ALL_PIXELS;
    png_read_end(png, info);
  }
  if (pixels) {
    read = ALL;
    take_metadata(png, info, &from, picture, metadata, &texts);
    metadata->texts = (tsdf_bytes){texts.data, texts.size};
    picture->left_out = from.left_out | (tsdf_has_trailer(data, size, from.position) ? TSDF_LEFT_OUT_TRAILER : 0);
  }
  png_destroy_read_struct(&png, &info, NULL);
  return 0;
}

int tsdf_png_read_header(const uint8_t *data, size_t size, tsdf_picture *picture, tsdf_report *report) {
  return read_png(data, size, picture, NULL, NULL, report);
}

int tsdf_png_decode(const uint8_t *data, size_t size, tsdf_picture *picture, uint8_t *pixels, tsdf_metadata *metadata,
                    tsdf_report *report) {
  return read_png(data, size, picture, pixels, metadata, report);
}

static png_text make_text(const char *keyword, const char *value) {
  const size_t size = strlen(value);
  int is_plain = strcmp(keyword, "XML:com.adobe.xmp");
  for (const char *at = value; *at && is_plain; ++at)
    is_plain = *at > 0;
  return (png_text){.compression = is_plain ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE,
                    .key = (char *)keyword,
                    .text = (char *)value,
                    .text_length = is_plain ? size : 0,
                    .itxt_length = is_plain ? 0 : size,
                    .lang = "",
                    .lang_key = ""};
}

// The packet and all texts in one call: libpng copies what it has for each that adds some. `all` is to be freed.
static void set_texts(png_structp png, png_infop info, const tsdf_metadata *metadata, tsdf_buffer *all) {
  int failed = 0;
  const char *keyword, *text;
  if (metadata->xmp.size) { // with a 0 behind the packet, which Swift sees to
    const png_text packet = make_text("XML:com.adobe.xmp", (const char *)metadata->xmp.data);
    failed |= tsdf_append(all, &packet, sizeof packet);
  }
  for (size_t at = 0; !failed && (keyword = tsdf_next_text(&metadata->texts, &at, &text));) {
    const png_text next = make_text(keyword, text);
    failed |= tsdf_append(all, &next, sizeof next);
  }
  if (failed)
    fail(png, "out of memory");
  png_set_text(png, info, (png_textp)all->data, all->size / sizeof(png_text));
}

// High dynamic range, which no profile says: a chunk that libpng does not know.
static void set_code_points(png_structp png, png_infop info, const tsdf_picture *picture) {
  png_byte bytes[] = {picture->primaries, picture->transfer, 0, 1};
  png_unknown_chunk chunk = {.name = "cICP", .data = bytes, .size = sizeof bytes, .location = PNG_HAVE_IHDR};
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_ALWAYS, chunk.name, 1);
  png_set_unknown_chunks(png, info, &chunk, 1);
}

static void set_metadata(png_structp png, png_infop info, const tsdf_picture *picture, const tsdf_metadata *metadata,
                         tsdf_buffer *texts) {
  if (picture->transfer)
    set_code_points(png, info, picture);
  else if (metadata->profile.size)
    png_set_iCCP(png, info, "ICC profile", PNG_COMPRESSION_TYPE_BASE, metadata->profile.data, metadata->profile.size);
  if (metadata->exif.size)
    png_set_eXIf_1(png, info, metadata->exif.size, metadata->exif.data);
  const tsdf_density density = metadata->density;
  if (tsdf_is_stated(&density)) {
    static const double a_metre[] = {1, 1 / 0.0254, 100, 1};
    const double scale = a_metre[density.unit & 3];
    png_set_pHYs(png, info, density.x * scale + 0.5, density.y * scale + 0.5,
                 density.unit ? PNG_RESOLUTION_METER : PNG_RESOLUTION_UNKNOWN);
  }
  set_texts(png, info, metadata, texts);
}

int tsdf_png_encode(const tsdf_picture *picture, const uint8_t *pixels, int quality, const tsdf_metadata *metadata,
                    tsdf_bytes *file, tsdf_report *report) {
  static const int color_types[] = {0, PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                                    PNG_COLOR_TYPE_RGB_ALPHA};
  (void)quality;
  tsdf_buffer out = {0}, texts = {0};
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, report, on_error, on_warning);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  if (!info) {
    png_destroy_write_struct(&png, NULL);
    return tsdf_fail(report, "out of memory");
  }
  if (setjmp(png_jmpbuf(png))) {
    free(out.data);
    free(texts.data);
    png_destroy_write_struct(&png, &info);
    return -1;
  }
  png_set_write_fn(png, &out, write_bytes, flush_bytes);
  // A profile that libpng finds fault with is kept where it can be, else left out.
  png_set_option(png, PNG_SKIP_sRGB_CHECK_PROFILE, PNG_OPTION_ON);
  png_set_benign_errors(png, 1);
  png_set_user_limits(png, 1000000, 1000000);
  png_set_chunk_cache_max(png, 0);
  png_set_IHDR(png, info, picture->width, picture->height, picture->bit_depth, color_types[picture->channels],
               PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  set_metadata(png, info, picture, metadata, &texts);
  png_write_info(png, info);
  if (picture->bit_depth == 16)
    png_set_swap(png);
  const size_t stride = (size_t)picture->width * picture->channels * picture->bit_depth / 8;
  for (uint32_t y = 0; y < picture->height; ++y)
    png_write_row(png, pixels + y * stride);
  png_write_end(png, NULL); // all of `info` is written
  png_destroy_write_struct(&png, &info);
  free(texts.data);
  *file = (tsdf_bytes){out.data, out.size};
  return 0;
}
