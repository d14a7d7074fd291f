// libheif: reading HEIC and AVIF.
#include "heif.h"

#include <stdlib.h>
#include <string.h>

// The main picture of a file; its context is to be freed after it.
static struct heif_image_handle *open_heif(const uint8_t *data, size_t size, struct heif_context **context,
                                           tsdf_report *report) {
  struct heif_image_handle *handle = NULL;
  *context = heif_context_alloc();
  if (tsdf_heif_failed(heif_context_read_from_memory_without_copy(*context, data, size, NULL), report) ||
      tsdf_heif_failed(heif_context_get_primary_image_handle(*context, &handle), report))
    return NULL;
  return handle;
}

static int describe(const struct heif_image_handle *handle, tsdf_picture *picture, tsdf_report *report) {
  const int width = heif_image_handle_get_width(handle), height = heif_image_handle_get_height(handle);
  if (width <= 0 || height <= 0)
    return tsdf_fail(report, "has no size");
  picture->width = width;
  picture->height = height;
  picture->channels = heif_image_handle_has_alpha_channel(handle) ? 4 : 3;
  const int bits = heif_image_handle_get_luma_bits_per_pixel(handle);
  picture->precision = bits > 8 ? bits : 8;
  picture->bit_depth = bits > 8 ? 16 : 8;
  picture->orientation = 1; // libheif turns what it decodes
  return bits > 16 ? tsdf_fail(report, "has more than 16 bits a sample") : 0;
}

int tsdf_heif_read_header(const uint8_t *data, size_t size, tsdf_picture *picture, tsdf_report *report) {
  struct heif_context *context;
  struct heif_image_handle *handle = open_heif(data, size, &context, report);
  const int result = handle ? describe(handle, picture, report) : -1;
  heif_image_handle_release(handle);
  heif_context_free(context);
  return result;
}

// The decoder's rows, packed; wider samples spread over 16 bits.
static int copy_rows(const struct heif_image *image, const tsdf_picture *picture, uint8_t *pixels) {
  int stride;
  const uint8_t *rows = heif_image_get_plane_readonly(image, heif_channel_interleaved, &stride);
  const size_t samples = (size_t)picture->width * picture->channels, bytes = picture->bit_depth / 8;
  if (!rows || heif_image_get_width(image, heif_channel_interleaved) != (int)picture->width ||
      heif_image_get_height(image, heif_channel_interleaved) != (int)picture->height || (size_t)stride < samples * bytes)
    return -1;
  const uint32_t most = (1u << picture->precision) - 1;
  for (uint32_t y = 0; y < picture->height; ++y) {
    const uint8_t *from = rows + (size_t)y * stride;
    uint8_t *to = pixels + y * samples * bytes;
    if (bytes == 1) {
      memcpy(to, from, samples);
      continue;
    }
    for (size_t i = 0; i < samples; ++i) {
      const uint32_t value = from[2 * i] | from[2 * i + 1] << 8;
      ((uint16_t *)to)[i] = ((value < most ? value : most) * 65535u + most / 2) / most;
    }
  }
  return 0;
}

// The colours of a file: by its profile, else by its code points.
static int take_colors(const struct heif_image_handle *handle, tsdf_picture *picture, tsdf_metadata *metadata) {
  const size_t size = heif_image_handle_get_raw_color_profile_size(handle);
  struct heif_color_profile_nclx *nclx = NULL;
  int result = 0;
  if (size > 0 && size < 64 << 20) {
    uint8_t *bytes = malloc(size);
    if (!bytes || heif_image_handle_get_raw_color_profile(handle, bytes).code != heif_error_Ok) {
      free(bytes);
      return -1;
    }
    metadata->profile = (tsdf_bytes){bytes, size};
  } else if (heif_image_handle_get_nclx_color_profile(handle, &nclx).code == heif_error_Ok && nclx) {
    result = tsdf_take_code_points(nclx->color_primaries, nclx->transfer_characteristics, picture, &metadata->profile);
    heif_nclx_color_profile_free(nclx);
  }
  return result;
}

static int take_block(const struct heif_image_handle *handle, heif_item_id id, tsdf_metadata *metadata) {
  const size_t size = heif_image_handle_get_metadata_size(handle, id);
  const int is_exif = !strcmp(heif_image_handle_get_metadata_type(handle, id), "Exif");
  const int is_xmp = !strcmp(heif_image_handle_get_metadata_content_type(handle, id), "application/rdf+xml");
  if ((!is_exif && !is_xmp) || size < 5 || size > 64 << 20)
    return 0;
  uint8_t *bytes = malloc(size);
  int result = bytes && heif_image_handle_get_metadata(handle, id, bytes).code == heif_error_Ok ? 0 : -1;
  if (!result && is_exif) {
    // Four bytes say how much lies between them and the data.
    const uint32_t skipped = (uint32_t)bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3];
    if (skipped < size - 4) {
      const uint8_t *exif = bytes + 4 + skipped;
      size_t length = size - 4 - skipped;
      tsdf_skip_exif_mark(&exif, &length);
      result = tsdf_copy(&metadata->exif, exif, length);
    }
  } else if (!result) {
    result = tsdf_copy(&metadata->xmp, bytes, size);
  }
  free(bytes);
  return result;
}

static int take_metadata(const struct heif_image_handle *handle, tsdf_picture *picture, tsdf_metadata *metadata) {
  heif_item_id ids[64];
  const int count = heif_image_handle_get_list_of_metadata_block_IDs(handle, NULL, ids, 64);
  int result = take_colors(handle, picture, metadata);
  for (int i = 0; i < count && !result; ++i)
    result = take_block(handle, ids[i], metadata);
  return result;
}

static int left_out(struct heif_context *context, const struct heif_image_handle *handle) {
  int found = 0;
  if (heif_image_handle_get_number_of_thumbnails(handle) > 0)
    found |= TSDF_LEFT_OUT_THUMBNAIL;
  if (heif_context_get_number_of_top_level_images(context) > 1 || heif_image_handle_get_number_of_depth_images(handle) > 0 ||
      heif_image_handle_get_number_of_auxiliary_images(handle, LIBHEIF_AUX_IMAGE_FILTER_OMIT_ALPHA) > 0)
    found |= TSDF_LEFT_OUT_PAGES;
  return found;
}

int tsdf_heif_decode(const uint8_t *data, size_t size, tsdf_picture *picture, uint8_t *pixels, tsdf_metadata *metadata,
                     tsdf_report *report) {
  struct heif_context *context;
  struct heif_image *image = NULL;
  struct heif_image_handle *handle = open_heif(data, size, &context, report);
  int result = -1;
  if (handle &&
      !tsdf_heif_failed(heif_decode_image(handle, &image, heif_colorspace_RGB, tsdf_heif_form(picture), NULL), report))
    result = copy_rows(image, picture, pixels) || take_metadata(handle, picture, metadata) ? -1 : 0;
  if (!result)
    picture->left_out = left_out(context, handle);
  else
    tsdf_metadata_free(metadata);
  heif_image_release(image);
  heif_image_handle_release(handle);
  heif_context_free(context);
  return result ? tsdf_fail(report, "is truncated or damaged") : 0;
}
