/*
 * Pictures in memory: PNG and JPEG files to bytes. Whoever decodes may be another thread than the
 * context's: nothing here touches a context; memory is malloc's, and what is wrong goes into a line
 * of the caller's. Each format stands in a file of its own and may be missing from a build.
 */
#ifndef IO_IMAGE_H
#define IO_IMAGE_H

#include <thalweg/base.h>

enum { IMAGE_SIDE_AT_MOST = 1 << 16, IMAGE_PIXELS_AT_MOST = 1 << 27 };

typedef struct image {
    int64_t height, width, channels; /* 1 or 3 */
    uint8_t *pixels;                 /* (height, width, channels) */
} image;

/* A decoder's way to say what is wrong. */
typedef struct image_message {
    char *text;
    size_t capacity;
} image_message;
tw_status image_refuse(const image_message *message, tw_status status, const char *format, ...)
    TW_PRINTF(3, 4);
/* Memory for a picture of these sides, after a check of them against the limits and against the
 * `size` bytes of its file, no byte of which holds more than `ratio` pixels. */
tw_status image_reserve(image *image, int64_t height, int64_t width, int64_t channels, size_t size,
                        int64_t ratio, const image_message *message);
void image_end(image *image);

/* The picture in `bytes`, by its first bytes a PNG or a JPEG, with 1 or 3 channels: transparency is
 * dropped, 16 bits become 8, colours become ITU-R BT.601 luma, grey becomes three equal channels, as
 * Pillow's convert does. On failure *out is empty. */
tw_status image_decode(const uint8_t *bytes, size_t size, int64_t channels, image *out,
                       const image_message *message);
/* The same from a file. */
tw_status image_read(const char *path, int64_t channels, image *out, const image_message *message);

/* The formats: pictures of 1 or 3 channels, as the file has it. */
tw_status png_decode(const uint8_t *bytes, size_t size, image *out, const image_message *message);
tw_status jpeg_decode(const uint8_t *bytes, size_t size, image *out, const image_message *message);

#endif
