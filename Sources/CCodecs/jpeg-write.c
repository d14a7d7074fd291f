// libjpeg-turbo: writing.
#include "jpeg.h"

#include <stdlib.h>
#include <string.h>

#include <jerror.h>

static void write_segment(j_compress_ptr jpeg, int marker, const char *head, size_t length, const tsdf_bytes *bytes) {
  if (!bytes->size)
    return;
  if (length + bytes->size > 65533) {
    tsdf_note(((tsdf_jpeg_errors *)jpeg->err)->report, "the copy is without metadata (%s) that are too large for a JPEG file",
              head);
    return;
  }
  jpeg_write_m_header(jpeg, marker, length + bytes->size);
  for (size_t i = 0; i < length; ++i)
    jpeg_write_m_byte(jpeg, head[i]);
  for (size_t i = 0; i < bytes->size; ++i)
    jpeg_write_m_byte(jpeg, bytes->data[i]);
}

static void write_metadata(j_compress_ptr jpeg, const tsdf_metadata *metadata) {
  write_segment(jpeg, JPEG_APP0 + 1, "Exif\0\0", 6, &metadata->exif);
  write_segment(jpeg, JPEG_APP0 + 1, "http://ns.adobe.com/xap/1.0/\0", 29, &metadata->xmp);
  write_segment(jpeg, JPEG_APP0 + 13, "Photoshop 3.0\0", 14, &metadata->iptc);
  if (metadata->profile.size)
    jpeg_write_icc_profile(jpeg, metadata->profile.data, metadata->profile.size);
  const char *text;
  for (size_t at = 0; tsdf_next_text(&metadata->texts, &at, &text);)
    for (size_t left = strlen(text), part; left > 0; left -= part, text += part) {
      part = left < 65533 ? left : 65533;
      jpeg_write_marker(jpeg, JPEG_COM, (const uint8_t *)text, part);
    }
}

int tsdf_jpeg_encode(const tsdf_picture *picture, const uint8_t *pixels, int quality, const tsdf_metadata *metadata,
                     tsdf_bytes *file, tsdf_report *report) {
  struct jpeg_compress_struct jpeg;
  tsdf_jpeg_errors errors;
  unsigned char *volatile out = NULL;
  unsigned long out_size = 0;
  jpeg.err = tsdf_jpeg_use(&errors, report);
  if (setjmp(errors.escape)) {
    jpeg_destroy_compress(&jpeg);
    free(out);
    return -1;
  }
  jpeg_create_compress(&jpeg);
  jpeg_mem_dest(&jpeg, (unsigned char **)&out, &out_size);
  jpeg.image_width = picture->width;
  jpeg.image_height = picture->height;
  jpeg.input_components = picture->channels;
  jpeg.in_color_space = picture->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, quality, TRUE);
  // Of the components, the first is lightness, where there are colours.
  for (int component = 0; component < jpeg.num_components; ++component)
    jpeg.comp_info[component].h_samp_factor = jpeg.comp_info[component].v_samp_factor =
        component == 0 && jpeg.num_components == 3 && picture->subsampling > 0 ? picture->subsampling : 1;
  // The best codes need all coefficients at once, six bytes a pixel: not for the largest pictures.
  jpeg.optimize_coding = (uint64_t)picture->width * picture->height <= 1 << 25;
  if (tsdf_is_stated(&metadata->density)) {
    const double scale = metadata->density.unit == 3 ? 0.0254 : 1;
    jpeg.density_unit = metadata->density.unit == 3 ? 1 : metadata->density.unit;
    jpeg.X_density = metadata->density.x * scale < 65535 ? metadata->density.x * scale + 0.5 : 65535;
    jpeg.Y_density = metadata->density.y * scale < 65535 ? metadata->density.y * scale + 0.5 : 65535;
  }
  jpeg_start_compress(&jpeg, TRUE);
  write_metadata(&jpeg, metadata);
  const size_t stride = (size_t)picture->width * picture->channels;
  while (jpeg.next_scanline < jpeg.image_height) {
    JSAMPROW row = (JSAMPROW)(pixels + jpeg.next_scanline * stride);
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  *file = (tsdf_bytes){out, out_size};
  return 0;
}
