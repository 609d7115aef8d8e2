/* Pictures: limits, the choice of the format, and the number of channels that is asked for. */
#include "io/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_AT_MOST = 1 << 30 };

tw_status image_refuse(const image_message *message, tw_status status, const char *format, ...) {
    va_list list;
    va_start(list, format);
    if (message->capacity) vsnprintf(message->text, message->capacity, format, list);
    va_end(list);
    return status;
}

tw_status image_reserve(image *image, int64_t height, int64_t width, int64_t channels, size_t size,
                        int64_t ratio, const image_message *message) {
    if (height < 1 || width < 1 || height > IMAGE_SIDE_AT_MOST || width > IMAGE_SIDE_AT_MOST ||
        height * width > IMAGE_PIXELS_AT_MOST)
        return image_refuse(message, TW_ERR_UNSUPPORTED,
                            "%lld x %lld pixels; expected sides of 1 to %d and at most %d in all",
                            (long long)width, (long long)height, IMAGE_SIDE_AT_MOST,
                            IMAGE_PIXELS_AT_MOST);
    if (height * width / ratio > (int64_t)size)
        return image_refuse(message, TW_ERR_FORMAT,
                            "%lld x %lld pixels, more than a file of %zu bytes holds",
                            (long long)width, (long long)height, size);
    image->pixels = calloc((size_t)(height * width), (size_t)channels);
    if (!image->pixels)
        return image_refuse(message, TW_ERR_MEMORY, "no memory for %lld x %lld pixels",
                            (long long)width, (long long)height);
    image->height = height;
    image->width = width;
    image->channels = channels;
    return TW_OK;
}

void image_end(image *image) {
    free(image->pixels);
    image->pixels = NULL;
}

/* Luma by ITU-R BT.601 in 16 bits, rounded as Pillow's convert("L"). */
static void to_grey(image *image) {
    const uint8_t *from = image->pixels;
    for (int64_t i = 0; i < image->height * image->width; i++, from += 3)
        image->pixels[i] =
            (uint8_t)((from[0] * 19595 + from[1] * 38470 + from[2] * 7471 + 0x8000) >> 16);
    image->channels = 1;
}

static tw_status to_colours(image *image, const image_message *message) {
    size_t count = (size_t)(image->height * image->width);
    uint8_t *pixels = realloc(image->pixels, count * 3);
    if (!pixels) return image_refuse(message, TW_ERR_MEMORY, "no memory for its colours");
    image->pixels = pixels;
    for (size_t i = count; i-- > 0;) {
        uint8_t grey = pixels[i];
        memset(pixels + 3 * i, grey, 3);
    }
    image->channels = 3;
    return TW_OK;
}

tw_status image_decode(const uint8_t *bytes, size_t size, int64_t channels, image *out,
                       const image_message *message) {
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    static const uint8_t jpeg[3] = {0xff, 0xd8, 0xff};
    *out = (image){0};
    tw_status status;
    if (size >= sizeof png && !memcmp(bytes, png, sizeof png))
        status = png_decode(bytes, size, out, message);
    else if (size >= sizeof jpeg && !memcmp(bytes, jpeg, sizeof jpeg))
        status = jpeg_decode(bytes, size, out, message);
    else
        status = image_refuse(message, TW_ERR_FORMAT,
                              "offset 0: neither a PNG nor a JPEG file starts like this");
    if (!status && channels == 1 && out->channels == 3) to_grey(out);
    if (!status && channels == 3 && out->channels == 1) status = to_colours(out, message);
    if (status) image_end(out);
    return status;
}

static tw_status refuse_system(const image_message *message, const char *what) {
    tw_status status = errno == ENOENT || errno == ENOTDIR ? TW_ERR_NOT_FOUND : TW_ERR_IO;
    return image_refuse(message, status, "%s: %s", what, strerror(errno));
}

static tw_status read_bytes(int descriptor, uint8_t **bytes, size_t *size,
                            const image_message *message) {
    struct stat facts;
    if (fstat(descriptor, &facts)) return refuse_system(message, "cannot ask its size");
    if (!S_ISREG(facts.st_mode)) return image_refuse(message, TW_ERR_IO, "no regular file");
    if (facts.st_size > FILE_AT_MOST)
        return image_refuse(message, TW_ERR_UNSUPPORTED, "%lld bytes; expected at most %d",
                            (long long)facts.st_size, FILE_AT_MOST);
    *bytes = malloc((size_t)facts.st_size + 1);
    if (!*bytes) return image_refuse(message, TW_ERR_MEMORY, "no memory for its bytes");
    while (*size < (size_t)facts.st_size) {
        ssize_t count = read(descriptor, *bytes + *size, (size_t)facts.st_size - *size);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return refuse_system(message, "cannot read it");
        if (!count) break; /* it became shorter meanwhile: the decoder will say so */
        *size += (size_t)count;
    }
    return TW_OK;
}

tw_status image_read(const char *path, int64_t channels, image *out, const image_message *message) {
    *out = (image){0};
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return refuse_system(message, "cannot open it");
    uint8_t *bytes = NULL;
    size_t size = 0;
    tw_status status = read_bytes(descriptor, &bytes, &size, message);
    close(descriptor);
    if (!status) status = image_decode(bytes, size, channels, out, message);
    free(bytes);
    return status;
}
