// Thin fronts of the libraries that read and write pictures: whole pictures from and to memory, one form for all. None of
// them longjmps or throws out, keeps state between calls, or prints.
#ifndef TSDF_CCODECS_H
#define TSDF_CCODECS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Bytes that a function made: free() the data.
typedef struct {
  uint8_t *data;
  size_t size;
} tsdf_bytes;

// What a call has to say: why it failed, and what is odd about a file that could be read all the same ("" for nothing).
typedef struct {
  char error[256], note[256];
} tsdf_report;

// What a file holds that its copy will not.
enum {
  TSDF_LEFT_OUT_THUMBNAIL = 1,   // a small picture of the same
  TSDF_LEFT_OUT_ANIMATION = 2,   // frames after the first
  TSDF_LEFT_OUT_PAGES = 4,       // pages after the first, further pictures, gain maps, depth
  TSDF_LEFT_OUT_TRAILER = 8,     // data behind the picture's end
  TSDF_LEFT_OUT_MAKER_NOTE = 16, // what a camera's maker stores in a form of his own, previews among it
  TSDF_LEFT_OUT_METADATA = 32,   // metadata that hold a picture, or that do not unpack within the limit
};

// How samples lie in memory: interleaved, rows from top to bottom, 16 bits in the processor's order.
typedef struct {
  uint32_t width, height;
  int channels;            // 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha, or CMYK
  int bit_depth;           // 8 or 16
  int is_cmyk;             // 0 is no ink
  int precision;           // how many of the bits the file has: 10 or 12 of 16 in HEIC and AVIF
  int is_lossless;         // WebP: whether it was compressed without loss
  int compression;         // TIFF: its tag of this name
  int subsampling;         // JPEG, to be written: samples of lightness for one of colour in each direction, 0 for 1
  int orientation;         // TIFF: its tag of this name; else 1
  int primaries, transfer; // of high dynamic range, as ITU-T H.273 numbers them; else 0
  int left_out;            // of the above
} tsdf_picture;

// Samples to a unit of length, as the file has it.
typedef struct {
  int unit; // 0 unknown: the ratio of both counts; 1 inch, 2 centimetre, 3 metre
  double x, y;
} tsdf_density;

// What a file says beside the pixels, each as its own standard lays it out.
typedef struct {
  tsdf_bytes profile; // ICC
  tsdf_bytes exif;    // from the TIFF header on; of a TIFF file, nothing: the file is it
  tsdf_bytes xmp;     // the packet
  tsdf_bytes iptc;    // Photoshop's image resources (8BIM)
  tsdf_bytes texts;   // keyword, 0, text, 0, and so on: comments have the keyword "Comment"
  tsdf_density density;
} tsdf_metadata;

void tsdf_metadata_free(tsdf_metadata *metadata);

// A copy whose bytes are its own.
tsdf_metadata tsdf_metadata_copy(const tsdf_metadata *metadata);

// For each type: what a file's pixels are, without decoding them; 0, or -1 with an error.
typedef int tsdf_read_header(const uint8_t *data, size_t size, tsdf_picture *, tsdf_report *);
// For each type: the pixels, as many bytes as the header promised, and the metadata, to be freed where 0 is returned.
typedef int tsdf_decode(const uint8_t *data, size_t size, tsdf_picture *, uint8_t *pixels, tsdf_metadata *, tsdf_report *);
// For each type that is written: a file. Samples are grey or RGB, with alpha where the type has it. `quality`: 1 to 100.
typedef int tsdf_encode(const tsdf_picture *, const uint8_t *pixels, int quality, const tsdf_metadata *, tsdf_bytes *file,
                        tsdf_report *);

tsdf_read_header tsdf_jpeg_read_header, tsdf_png_read_header, tsdf_webp_read_header, tsdf_tiff_read_header,
    tsdf_heif_read_header, tsdf_gif_read_header;
tsdf_decode tsdf_jpeg_decode, tsdf_png_decode, tsdf_webp_decode, tsdf_tiff_decode, tsdf_heif_decode, tsdf_gif_decode;
tsdf_encode tsdf_jpeg_encode, tsdf_png_encode, tsdf_webp_encode, tsdf_tiff_encode, tsdf_heic_encode, tsdf_avif_encode;

// Whether this machine's libheif has an encoder.
int tsdf_heic_has_encoder(void), tsdf_avif_has_encoder(void);

// The colour space of an ICC profile: 1 grey, 3 RGB, 4 CMYK, 0 for another or a broken profile.
int tsdf_profile_channels(const uint8_t *profile, size_t size);

// Turns CMYK samples into RGB ones of sRGB, in place (the first 3/4 of the bytes), by their profile; without one (size 0) as
// inks that each swallow their share of the light.
int tsdf_cmyk_to_srgb(const uint8_t *profile, size_t size, uint8_t *pixels, size_t count, int bit_depth, tsdf_report *);

// What code points of ITU-T H.273 say of RGB samples: of high dynamic range they become the picture's, which no profile says;
// of standard range, where they are not sRGB's, a profile. 0, or -1 where memory is lacking.
int tsdf_take_code_points(int primaries, int transfer, tsdf_picture *, tsdf_bytes *profile);

// A profile for primaries and a white point (x and y each: white, red, green, blue) and a decoding
// exponent, 0 for sRGB's curve.
int tsdf_make_profile(const double chromaticities[8], double gamma, tsdf_bytes *profile);

// Leaves of Exif data, XMP, IPTC, texts and an RGB or grey profile only what is known to hold no picture, each written anew. `tiff` is the whole file where it
// is a TIFF file, which holds all three itself. `*orientation`: that of the first directory, 1 where it says none; where it
// is given as other than 0, the data are made to say that one. Data that cannot be read are dropped.
void tsdf_clean_metadata(tsdf_metadata *metadata, const uint8_t *tiff, size_t tiff_size, int *orientation, int *left_out);

// For types without places of their own: IPTC becomes XMP, density and a text go into the Exif data. 1 where texts are lost.
int tsdf_fit_metadata(tsdf_metadata *metadata, int has_iptc, int has_texts, int has_density);

// Writes into the XMP packet which tool protected the picture (`tool`, as XMP's tsdf:ProtectedBy), or that none did (NULL). 0, or -1
// where a packet that a JPEG file can hold would grow too large for it: it was left as it is.
int tsdf_mark_protected(tsdf_metadata *metadata, const char *tool);

// Whether the XMP packet says that a tool protected the picture.
int tsdf_is_marked_protected(const tsdf_metadata *metadata);

// Puts Exif data, XMP and IPTC into a TIFF file; 0, or -1 where it was left as it is.
int tsdf_add_to_tiff(tsdf_bytes *file, const tsdf_metadata *metadata);

#ifdef __cplusplus
}
#endif

#endif
