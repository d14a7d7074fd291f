// giflib: the first picture, on its screen.
#include "support.h"

#include <gif_lib.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  const uint8_t *data;
  size_t size, position;
} source;

static int read_bytes(GifFileType *gif, GifByteType *to, int count) {
  source *from = gif->UserData;
  const size_t left = from->size - from->position, size = (size_t)count < left ? (size_t)count : left;
  memcpy(to, from->data + from->position, size);
  from->position += size;
  return size;
}

static GifFileType *open_gif(source *from, tsdf_report *report) {
  GifFileType *gif = DGifOpen(from, read_bytes, NULL);
  if (!gif)
    tsdf_fail(report, "is truncated or damaged");
  return gif;
}

// Colours are of a palette; one of them may be none, as may what the first picture leaves free of the screen.
int tsdf_gif_read_header(const uint8_t *data, size_t size, tsdf_picture *picture, tsdf_report *report) {
  source from = {data, size, 0};
  GifFileType *gif = open_gif(&from, report);
  if (!gif)
    return -1;
  picture->width = gif->SWidth;
  picture->height = gif->SHeight;
  picture->channels = 4;
  picture->bit_depth = picture->precision = 8;
  picture->orientation = 1;
  DGifCloseFile(gif, NULL);
  return 0;
}

// One line of the picture, at its place on the screen.
static void paint(const GifFileType *gif, const tsdf_picture *picture, const GifPixelType *line, int y, int transparent,
                  uint8_t *pixels) {
  const ColorMapObject *colors = gif->Image.ColorMap ? gif->Image.ColorMap : gif->SColorMap;
  const int64_t row = gif->Image.Top + (int64_t)y;
  if (row >= picture->height)
    return;
  for (int x = 0; x < gif->Image.Width && gif->Image.Left + (int64_t)x < picture->width; ++x) {
    if (line[x] == transparent || line[x] >= colors->ColorCount)
      continue;
    uint8_t *to = pixels + 4 * (row * picture->width + gif->Image.Left + x);
    const GifColorType color = colors->Colors[line[x]];
    to[0] = color.Red, to[1] = color.Green, to[2] = color.Blue, to[3] = 255;
  }
}

static int decode_image(GifFileType *gif, const tsdf_picture *picture, int transparent, uint8_t *pixels) {
  static const int starts[] = {0, 4, 2, 1}, steps[] = {8, 8, 4, 2};
  static _Thread_local GifPixelType line[65536];
  if (DGifGetImageDesc(gif) == GIF_ERROR || (!gif->Image.ColorMap && !gif->SColorMap) || gif->Image.Width <= 0 ||
      gif->Image.Width > 65535 || gif->Image.Height <= 0 || gif->Image.Left < 0 || gif->Image.Top < 0)
    return -1;
  for (int pass = gif->Image.Interlace ? 0 : 3; pass < 4; ++pass)
    for (int y = gif->Image.Interlace ? starts[pass] : 0; y < gif->Image.Height; y += gif->Image.Interlace ? steps[pass] : 1) {
      if (DGifGetLine(gif, line, gif->Image.Width) == GIF_ERROR)
        return -1;
      paint(gif, picture, line, y, transparent, pixels);
    }
  return 0;
}

// XMP is stored as it is: what giflib takes for the blocks' lengths are its own characters, up to bytes that lead out of them from
// wherever one lands: 1, 255 and then down, which text never has.
static int take_xmp(const tsdf_buffer *body, tsdf_bytes *xmp) {
  const uint8_t *end = body->size ? memchr(body->data, 255, body->size) : NULL;
  const size_t size = end ? (size_t)(end - body->data) : body->size;
  return size > 1 ? tsdf_copy(xmp, body->data, end ? size - 1 : size) : 0;
}

// What the blocks of an extension say, joined: a comment, or what an application keeps there.
static int take_extension(int code, const uint8_t *name, const tsdf_buffer *body, tsdf_buffer *texts, tsdf_metadata *metadata) {
  if (code == COMMENT_EXT_FUNC_CODE && body->size)
    return tsdf_append_text(texts, "Comment", body->data, body->size);
  if (code == APPLICATION_EXT_FUNC_CODE && !memcmp(name, "XMP DataXMP", 11) && !metadata->xmp.data)
    return take_xmp(body, &metadata->xmp);
  if (code == APPLICATION_EXT_FUNC_CODE && !memcmp(name, "ICCRGBG1012", 11) && !metadata->profile.data && body->size)
    return tsdf_copy(&metadata->profile, body->data, body->size);
  return 0;
}

// Takes what an extension says, and which colour is none; 0, or -1 where the file breaks off.
static int read_extension(GifFileType *gif, tsdf_buffer *texts, tsdf_metadata *metadata, int *transparent) {
  int code, result = 0;
  GifByteType *block;
  uint8_t name[11] = {0};
  tsdf_buffer body = {0};
  if (DGifGetExtension(gif, &code, &block) == GIF_ERROR)
    return -1;
  if (code == APPLICATION_EXT_FUNC_CODE && block && block[0] == sizeof name) {
    memcpy(name, block + 1, sizeof name);
    result = DGifGetExtensionNext(gif, &block) == GIF_ERROR ? -1 : 0;
  }
  const int keeps_lengths = !memcmp(name, "XMP DataXMP", sizeof name);
  while (block && !result) {
    GraphicsControlBlock control;
    if (code == GRAPHICS_EXT_FUNC_CODE && DGifExtensionToGCB(block[0], block + 1, &control) == GIF_OK)
      *transparent = control.TransparentColor;
    result = keeps_lengths ? tsdf_append(&body, block, block[0] + 1) : tsdf_append(&body, block + 1, block[0]);
    if (!result && DGifGetExtensionNext(gif, &block) == GIF_ERROR)
      result = -1;
  }
  if (!result)
    result = take_extension(code, name, &body, texts, metadata);
  free(body.data);
  return result;
}

int tsdf_gif_decode(const uint8_t *data, size_t size, tsdf_picture *picture, uint8_t *pixels, tsdf_metadata *metadata,
                    tsdf_report *report) {
  source from = {data, size, 0};
  tsdf_buffer texts = {0};
  GifFileType *gif = open_gif(&from, report);
  if (!gif)
    return -1;
  memset(pixels, 0, (size_t)4 * picture->width * picture->height);
  int transparent = NO_TRANSPARENT_COLOR, pictures = 0, failed = 0;
  for (GifRecordType record = UNDEFINED_RECORD_TYPE; !failed && pictures < 2 && record != TERMINATE_RECORD_TYPE;) {
    if (DGifGetRecordType(gif, &record) == GIF_ERROR)
      break; // the end is missing
    if (record == IMAGE_DESC_RECORD_TYPE && ++pictures == 1)
      failed = decode_image(gif, picture, transparent, pixels);
    else if (record == EXTENSION_RECORD_TYPE)
      failed = read_extension(gif, &texts, metadata, &transparent) && !pictures;
  }
  picture->left_out = pictures > 1 ? TSDF_LEFT_OUT_ANIMATION : 0;
  if (pictures == 1 && tsdf_has_trailer(data, size, from.position))
    picture->left_out = TSDF_LEFT_OUT_TRAILER;
  metadata->texts = (tsdf_bytes){texts.data, texts.size};
  DGifCloseFile(gif, NULL);
  if (!failed && pictures)
    return 0;
  tsdf_metadata_free(metadata);
  return tsdf_fail(report, "is truncated or damaged");
}
