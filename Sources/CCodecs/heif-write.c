// libheif: writing HEIC and AVIF.
#include "heif.h"

#include <stdlib.h>
#include <string.h>

// How many bits a sample are written. libaom ends the process where it is to store 10 bits with all samples of the colours: libheif
// 1.15 asks it for the profile of AV1 that has half of them there. In 12 bits these are the same to a quarter of a step.
static int written_precision(enum heif_compression_format format, const tsdf_picture *picture) {
  if (picture->bit_depth == 8)
    return 8;
  return format == heif_compression_AV1 || picture->precision > 10 ? 12 : 10;
}

static struct heif_image *make_image(const tsdf_picture *picture, int precision, const uint8_t *pixels) {
  struct heif_image *image = NULL;
  int stride;
  if (heif_image_create(picture->width, picture->height, heif_colorspace_RGB, tsdf_heif_form(picture), &image).code !=
          heif_error_Ok ||
      heif_image_add_plane(image, heif_channel_interleaved, picture->width, picture->height, precision).code != heif_error_Ok) {
    heif_image_release(image);
    return NULL;
  }
  uint8_t *rows = heif_image_get_plane(image, heif_channel_interleaved, &stride);
  const size_t samples = (size_t)picture->width * picture->channels;
  const uint32_t most = (1u << precision) - 1;
  for (uint32_t y = 0; y < picture->height; ++y) {
    uint8_t *to = rows + (size_t)y * stride;
    if (picture->bit_depth == 8) {
      memcpy(to, pixels + y * samples, samples);
      continue;
    }
    const uint16_t *from = (const uint16_t *)pixels + y * samples;
    for (size_t i = 0; i < samples; ++i) {
      const uint32_t value = (from[i] * most + 32767u) / 65535u;
      to[2 * i] = value;
      to[2 * i + 1] = value >> 8;
    }
  }
  return image;
}

static struct heif_error append(struct heif_context *context, const void *data, size_t size, void *out) {
  (void)context;
  const int failed = tsdf_append(out, data, size);
  return (struct heif_error){failed ? heif_error_Memory_allocation_error : heif_error_Ok, heif_suberror_Unspecified,
                             failed ? "out of memory" : "Success"};
}

// High dynamic range, which no profile says.
static void set_code_points(struct heif_image *image, const tsdf_picture *picture) {
  struct heif_color_profile_nclx *nclx = heif_nclx_color_profile_alloc();
  if (!nclx)
    return;
  heif_nclx_color_profile_set_color_primaries(nclx, picture->primaries);
  heif_nclx_color_profile_set_transfer_characteristics(nclx, picture->transfer);
  heif_nclx_color_profile_set_matrix_coefficients(nclx, heif_matrix_coefficients_ITU_R_BT_2020_2_non_constant_luminance);
  nclx->full_range_flag = 1;
  heif_image_set_nclx_color_profile(image, nclx);
  heif_nclx_color_profile_free(nclx);
}

static int add_metadata(struct heif_context *context, const struct heif_image_handle *handle, const tsdf_metadata *metadata,
                        tsdf_report *report) {
  return (metadata->exif.size &&
          tsdf_heif_failed(heif_context_add_exif_metadata(context, handle, metadata->exif.data, metadata->exif.size),
                           report)) ||
         (metadata->xmp.size &&
          tsdf_heif_failed(heif_context_add_XMP_metadata(context, handle, metadata->xmp.data, metadata->xmp.size), report));
}

static int encode(enum heif_compression_format format, const tsdf_picture *picture, const uint8_t *pixels, int quality,
                  const tsdf_metadata *metadata, tsdf_bytes *file, tsdf_report *report) {
  struct heif_context *context = heif_context_alloc();
  struct heif_encoder *encoder = NULL;
  struct heif_image_handle *handle = NULL;
  struct heif_image *image = NULL;
  struct heif_encoding_options *options = heif_encoding_options_alloc();
  struct heif_writer writer = {.writer_api_version = 1, .write = append};
  tsdf_buffer out = {0};
  int result = tsdf_heif_failed(heif_context_get_encoder_for_format(context, format, &encoder), report) ? -1 : 0;
  if (!result && (!options || !(image = make_image(picture, written_precision(format, picture), pixels))))
    result = tsdf_fail(report, "out of memory");
  if (!result) {
    heif_encoder_set_lossy_quality(encoder, quality);
    // What an encoder does not know of these, it ignores. Colours stay at full size where what shows AVIF allows it; phones
    // show HEIC at half the size only.
    heif_encoder_set_parameter_string(encoder, "preset", "fast");
    heif_encoder_set_parameter_integer(encoder, "speed", 7);
    heif_encoder_set_parameter_string(encoder, "chroma", format == heif_compression_AV1 ? "444" : "420");
    // Else left out of HEIC files for the sake of old viewers.
    options->macOS_compatibility_workaround_no_nclx_profile = !picture->transfer;
    if (picture->transfer)
      set_code_points(image, picture);
    else if (metadata->profile.size)
      heif_image_set_raw_color_profile(image, "prof", metadata->profile.data, metadata->profile.size);
    result = tsdf_heif_failed(heif_context_encode_image(context, image, encoder, options, &handle), report) ||
                     add_metadata(context, handle, metadata, report) ||
                     tsdf_heif_failed(heif_context_write(context, &writer, &out), report)
                 ? -1
                 : 0;
  }
  heif_image_release(image);
  heif_image_handle_release(handle);
  heif_encoder_release(encoder);
  heif_encoding_options_free(options);
  heif_context_free(context);
  if (result)
    free(out.data);
  else
    *file = (tsdf_bytes){out.data, out.size};
  return result;
}

int tsdf_heic_encode(const tsdf_picture *picture, const uint8_t *pixels, int quality, const tsdf_metadata *metadata,
                     tsdf_bytes *file, tsdf_report *report) {
  return encode(heif_compression_HEVC, picture, pixels, quality, metadata, file, report);
}

int tsdf_avif_encode(const tsdf_picture *picture, const uint8_t *pixels, int quality, const tsdf_metadata *metadata,
                     tsdf_bytes *file, tsdf_report *report) {
  return encode(heif_compression_AV1, picture, pixels, quality, metadata, file, report);
}

int tsdf_heic_has_encoder(void) { return heif_have_encoder_for_format(heif_compression_HEVC); }
int tsdf_avif_has_encoder(void) { return heif_have_encoder_for_format(heif_compression_AV1); }
