// What the fronts share.
#ifndef TSDF_SUPPORT_H
#define TSDF_SUPPORT_H

#include "CCodecs.h"

#ifdef __cplusplus
extern "C" {
#endif

// Bytes that grow: the room doubles, so that many additions take time in proportion to what is added.
typedef struct {
  uint8_t *data;
  size_t size, capacity;
} tsdf_buffer;

// Adds bytes (zeros where `data` is NULL); 0, or -1 where memory is lacking.
int tsdf_append(tsdf_buffer *buffer, const void *data, size_t size);

// Replaces `bytes` by a copy; 0, or -1 where memory is lacking.
int tsdf_copy(tsdf_bytes *bytes, const void *data, size_t size);

// Adds a keyword and a text up to its first 0, to what tsdf_metadata.texts holds.
int tsdf_append_text(tsdf_buffer *texts, const char *keyword, const void *text, size_t size);

// The next of the texts, or NULL: moves `*at` on.
const char *tsdf_next_text(const tsdf_bytes *texts, size_t *at, const char **text);

// States the error, if none is stated yet, and returns -1.
int tsdf_fail(tsdf_report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));

// States the first thing that is odd.
void tsdf_note(tsdf_report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Whether there is more behind the end of a picture than zeros.
int tsdf_has_trailer(const uint8_t *data, size_t size, size_t end);

// Whether a density says anything: a length, or that pixels are not square.
int tsdf_is_stated(const tsdf_density *density);

// Turns Lab samples of D50 into those of sRGB, in place; what follows three of them stays. `is_icc`: as ICC stores them, else as TIFF's
// CIELab does, with colours of a sign.
int tsdf_lab_to_srgb(int is_icc, const tsdf_picture *picture, uint8_t *pixels, tsdf_report *report);

// Whether a TIFF file is a BigTIFF one.
int tsdf_tiff_is_big(const uint8_t *data, size_t size);

// Exif data without the "Exif\0\0" that some writers put in front.
void tsdf_skip_exif_mark(const uint8_t **data, size_t *size);

#ifdef __cplusplus
}
#endif

#endif
