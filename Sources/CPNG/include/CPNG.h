// A thin front of libpng that never longjmps out: whole images from and to memory.
#ifndef TSDF_CPNG_H
#define TSDF_CPNG_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint32_t width, height;
  int channels;    // 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha
  int bit_depth;   // 8 or 16: of what is stored here
} tsdf_png_header;

// Reads the header of a PNG in memory, as tsdf_png_decode would deliver it (palettes and transparency expanded,
// fewer than 8 bits widened). Returns 0, or -1 with a message.
int tsdf_png_read_header(const uint8_t *data, size_t size, tsdf_png_header *header, char *message, size_t message_size);

// Decodes into pixels (row-major, channels interleaved, 16-bit samples in host order), which must hold
// width * height * channels * bit_depth / 8 bytes. Returns 0, or -1 with a message.
int tsdf_png_decode(const uint8_t *data, size_t size, uint8_t *pixels, char *message, size_t message_size);

// Encodes into newly allocated memory (free() it). Returns 0, or -1 with a message.
int tsdf_png_encode(const tsdf_png_header *header, const uint8_t *pixels, uint8_t **data, size_t *size, char *message,
                    size_t message_size);

#endif
