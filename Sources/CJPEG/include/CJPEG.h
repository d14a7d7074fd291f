// A thin front of libjpeg-turbo that never longjmps out, and of libexif: whole images from and to memory.
#ifndef TSDF_CJPEG_H
#define TSDF_CJPEG_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint32_t width, height;
  int channels;   // 1 grey, 3 RGB, 4 CMYK (0 = no ink)
} tsdf_jpeg_header;

// Reads the header of a JPEG in memory. Returns 0, or -1 with a message.
int tsdf_jpeg_read_header(const uint8_t *data, size_t size, tsdf_jpeg_header *header, char *message, size_t message_size);

// Decodes into pixels, width * height * channels bytes. *markers receives the file's APPn and COM segments but for
// those that the encoder writes itself (JFIF, Adobe): marker byte, length as 4 bytes little-endian, data, one after
// another; free() it. Damage that leaves pixels missing is an error. Returns 0, or -1 with a message.
int tsdf_jpeg_decode(const uint8_t *data, size_t size, uint8_t *pixels, uint8_t **markers, size_t *markers_size,
                     char *message, size_t message_size);

// Encodes grey or RGB, colours at half the size in both directions where halved is not 0, markers laid out as above. *data is newly allocated (free() it).
// Returns 0, or -1 with a message.
int tsdf_jpeg_encode(const tsdf_jpeg_header *header, const uint8_t *pixels, int quality, int halved,
                     const uint8_t *markers, size_t markers_size, uint8_t **data, size_t *size, char *message,
                     size_t message_size);

// The orientation (1...8) in Exif data that starts with "Exif\0\0"; 1 where it holds none.
int tsdf_exif_orientation(const uint8_t *data, size_t size);

#endif
