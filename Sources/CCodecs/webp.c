// libwebp, with its demultiplexer and multiplexer for metadata and films.
#include "support.h"

#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>
#include <webp/encode.h>
#include <webp/mux.h>

int tsdf_webp_read_header(const uint8_t *data, size_t size, tsdf_picture *picture, tsdf_report *report) {
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(data, size, &features) != VP8_STATUS_OK)
    return tsdf_fail(report, "is truncated or damaged");
  picture->width = features.width;
  picture->height = features.height;
  picture->channels = features.has_alpha ? 4 : 3;
  picture->bit_depth = picture->precision = 8;
  picture->is_lossless = features.format == 2;
  picture->left_out = features.has_animation ? TSDF_LEFT_OUT_ANIMATION : 0;
  picture->orientation = 1;
  return 0;
}

static size_t length_at(const uint8_t *bytes) {
  return (size_t)bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (size_t)bytes[3] << 24;
}

// The first of each kind, also where the file's head does not announce it, without which libwebp's demultiplexer passes it over. The
// profile alone is heeded by viewers only where it is announced.
static int take_chunks(const uint8_t *data, size_t size, tsdf_metadata *metadata) {
  int has_profile = 0, result = 0;
  for (size_t at = 12, length; !result && at + 8 <= size; at += 8 + length + length % 2) {
    const uint8_t *name = data + at, *body = name + 8;
    length = length_at(data + at + 4);
    if (length > size - at - 8)
      break;
    size_t left = length;
    if (!memcmp(name, "VP8X", 4) && length > 0)
      has_profile = body[0] & 0x20;
    else if (!memcmp(name, "ICCP", 4) && has_profile && !metadata->profile.data)
      result = tsdf_copy(&metadata->profile, body, left);
    else if (!memcmp(name, "XMP ", 4) && !metadata->xmp.data)
      result = tsdf_copy(&metadata->xmp, body, left);
    else if (!memcmp(name, "EXIF", 4) && !metadata->exif.data) {
      tsdf_skip_exif_mark(&body, &left);
      result = tsdf_copy(&metadata->exif, body, left);
    }
  }
  return result;
}

// The first picture of a film, on its canvas.
static int decode_film(const WebPData *file, const tsdf_picture *picture, uint8_t *pixels) {
  WebPAnimDecoderOptions options;
  if (!WebPAnimDecoderOptionsInit(&options))
    return -1;
  options.color_mode = MODE_RGBA;
  WebPAnimDecoder *decoder = WebPAnimDecoderNew(file, &options);
  uint8_t *canvas;
  int time, result = -1;
  if (decoder && WebPAnimDecoderGetNext(decoder, &canvas, &time)) {
    for (size_t i = 0, count = (size_t)picture->width * picture->height; i < count; ++i)
      memcpy(pixels + i * picture->channels, canvas + 4 * i, picture->channels);
    result = 0;
  }
  WebPAnimDecoderDelete(decoder);
  return result;
}

int tsdf_webp_decode(const uint8_t *data, size_t size, tsdf_picture *picture, uint8_t *pixels, tsdf_metadata *metadata,
                     tsdf_report *report) {
  const WebPData file = {data, size};
  const int stride = picture->width * picture->channels;
  const size_t room = (size_t)stride * picture->height;
  const int is_film = picture->left_out & TSDF_LEFT_OUT_ANIMATION;
  if (is_film ? decode_film(&file, picture, pixels)
              : !(picture->channels == 4 ? WebPDecodeRGBAInto(data, size, pixels, room, stride)
                                         : WebPDecodeRGBInto(data, size, pixels, room, stride)))
    return tsdf_fail(report, "is truncated or damaged");
  const size_t end = 8 + length_at(data + 4);
  if (tsdf_has_trailer(data, size, end + end % 2))
    picture->left_out |= TSDF_LEFT_OUT_TRAILER;
  if (!take_chunks(data, end < size ? end : size, metadata))
    return 0;
  tsdf_metadata_free(metadata);
  return tsdf_fail(report, "out of memory");
}

static int set_chunk(WebPMux *mux, const char *name, const tsdf_bytes *bytes) {
  const WebPData data = {bytes->data, bytes->size};
  return !bytes->size || WebPMuxSetChunk(mux, name, &data, 0) == WEBP_MUX_OK;
}

// The file of a compressed picture with its metadata.
static int assemble(const WebPMemoryWriter *compressed, const tsdf_metadata *metadata, tsdf_bytes *file) {
  const WebPData image = {compressed->mem, compressed->size};
  WebPData whole = {NULL, 0};
  tsdf_bytes copy = {NULL, 0};
  WebPMux *mux = WebPMuxNew();
  const int isDone = mux && WebPMuxSetImage(mux, &image, 0) == WEBP_MUX_OK && set_chunk(mux, "ICCP", &metadata->profile) &&
                     set_chunk(mux, "EXIF", &metadata->exif) && set_chunk(mux, "XMP ", &metadata->xmp) &&
                     WebPMuxAssemble(mux, &whole) == WEBP_MUX_OK && !tsdf_copy(&copy, whole.bytes, whole.size);
  WebPDataClear(&whole);
  WebPMuxDelete(mux);
  *file = copy;
  return isDone ? 0 : -1;
}

int tsdf_webp_encode(const tsdf_picture *picture, const uint8_t *pixels, int quality, const tsdf_metadata *metadata,
                     tsdf_bytes *file, tsdf_report *report) {
  WebPConfig config;
  WebPPicture source;
  WebPMemoryWriter writer;
  if (!WebPConfigInit(&config) || !WebPPictureInit(&source))
    return tsdf_fail(report, "libwebp has another version than its headers");
  config.lossless = source.use_argb = picture->is_lossless;
  config.exact = 1; // what lies under transparent pixels stays
  config.quality = picture->is_lossless ? 50 : quality;
  source.width = picture->width;
  source.height = picture->height;
  const int stride = picture->width * picture->channels;
  int done =
      picture->channels == 4 ? WebPPictureImportRGBA(&source, pixels, stride) : WebPPictureImportRGB(&source, pixels, stride);
  WebPMemoryWriterInit(&writer);
  source.writer = WebPMemoryWrite;
  source.custom_ptr = &writer;
  done = done && WebPEncode(&config, &source) && !assemble(&writer, metadata, file);
  WebPMemoryWriterClear(&writer);
  WebPPictureFree(&source);
  return done ? 0 : tsdf_fail(report, "cannot be written as WebP");
}
