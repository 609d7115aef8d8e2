/*
 * PNG by libpng. Its errors leave by longjmp; all that is at work then stands in one struct, which the
 * function that called setjmp does not change itself.
 */
#include "io/image.h"

#if !defined(THALWEG_HAVE_PNG)

tw_status png_decode(const uint8_t *bytes, size_t size, image *out, const image_message *message) {
    (void)bytes, (void)size, (void)out;
    return image_refuse(message, TW_ERR_UNSUPPORTED,
                        "a PNG file, and this build lacks libpng; build where libpng-dev is");
}

#else

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_AT_MOST = 1 << 23, PIXELS_OF_A_BYTE = 8 * 1032 /* one bit each, deflated */ };

typedef struct png_work {
    png_structp png;
    png_infop info;
    const uint8_t *bytes;
    size_t size, offset;
    image *out;
    png_bytep *rows;
    const image_message *message;
    tw_status status;
} png_work;

static void leave(png_structp png, png_const_charp what) {
    png_work *work = png_get_error_ptr(png);
    if (!work->status)
        work->status = image_refuse(work->message, TW_ERR_FORMAT, "a PNG file, offset %zu: %s",
                                    work->offset, what);
    png_longjmp(png, 1);
}

static void ignore(png_structp png, png_const_charp what) { (void)png, (void)what; }

static void feed(png_structp png, png_bytep to, size_t count) {
    png_work *work = png_get_io_ptr(png);
    if (count > work->size - work->offset) png_error(png, "the file ends too early");
    memcpy(to, work->bytes + work->offset, count);
    work->offset += count;
}

/* Grey or colours of 8 bits, whatever the file has. */
static void ask_for_bytes(png_work *work) {
    png_set_scale_16(work->png);
    png_set_expand(work->png); /* palettes, fewer bits than 8, transparent colours */
    png_set_strip_alpha(work->png);
    png_set_interlace_handling(work->png);
    png_read_update_info(work->png, work->info);
}

static void read_picture(png_work *work) {
    png_structp png = work->png;
    png_set_read_fn(png, work, feed);
    png_set_user_limits(png, IMAGE_SIDE_AT_MOST, IMAGE_SIDE_AT_MOST);
    png_set_chunk_malloc_max(png, CHUNK_AT_MOST);
    png_read_info(png, work->info);
    ask_for_bytes(work);
    int64_t height = png_get_image_height(png, work->info);
    int64_t width = png_get_image_width(png, work->info);
    int64_t channels = png_get_channels(png, work->info);
    size_t stride = (size_t)(width * channels);
    if ((channels != 1 && channels != 3) || png_get_rowbytes(png, work->info) != stride)
        png_error(png, "pixels of a kind that libpng did not make bytes of");
    work->status = image_reserve(work->out, height, width, channels, work->size, PIXELS_OF_A_BYTE,
                                 work->message);
    if (work->status) png_error(png, "refused");
    work->rows = malloc((size_t)height * sizeof *work->rows);
    if (!work->rows) {
        work->status = image_refuse(work->message, TW_ERR_MEMORY, "no memory for its rows");
        png_error(png, "refused");
    }
    for (int64_t i = 0; i < height; i++) work->rows[i] = work->out->pixels + (size_t)i * stride;
    png_read_image(png, work->rows);
    png_read_end(png, NULL);
}

static void try_to_read(png_work *work) {
    if (!setjmp(png_jmpbuf(work->png))) read_picture(work);
}

tw_status png_decode(const uint8_t *bytes, size_t size, image *out, const image_message *message) {
    png_work work = {.bytes = bytes, .size = size, .out = out, .message = message};
    work.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &work, leave, ignore);
    work.info = work.png ? png_create_info_struct(work.png) : NULL;
    if (work.info)
        try_to_read(&work);
    else
        work.status = image_refuse(message, TW_ERR_MEMORY, "no memory to read a PNG file");
    png_destroy_read_struct(&work.png, &work.info, NULL);
    free(work.rows);
    return work.status;
}

#endif
