/*
 * JPEG by libjpeg (libjpeg-turbo). Its errors leave by longjmp; all that is at work then stands in one
 * struct, which the function that called setjmp does not change itself.
 */
#include "io/image.h"

#if !defined(THALWEG_HAVE_JPEG)

tw_status jpeg_decode(const uint8_t *bytes, size_t size, image *out, const image_message *message) {
    (void)bytes, (void)size, (void)out;
    return image_refuse(message, TW_ERR_UNSUPPORTED,
                        "a JPEG file, and this build lacks libjpeg; build where libjpeg-dev is");
}

#else

#include <setjmp.h>
#include <stdio.h> /* jpeglib.h wants FILE */
#include <stdlib.h>

#include <jpeglib.h>

#include <jerror.h>

enum {
    SCANS_AT_MOST = 100, /* of a progressive file: each goes over the whole picture */
    MEGABYTES_AT_MOST = 1024,
    PIXELS_OF_A_BYTE = 64 * 8 * 4, /* a bit for a block's first coefficient; one block of four */
    CMYK = 4
};

typedef struct jpeg_work {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf exit;
    const uint8_t *bytes;
    size_t size;
    image *out;
    uint8_t *row; /* of ink: (width, 4) */
    const image_message *message;
    tw_status status;
} jpeg_work;

static size_t offset(const jpeg_work *work) {
    const struct jpeg_source_mgr *source = work->jpeg.src;
    return source && source->bytes_in_buffer <= work->size ? work->size - source->bytes_in_buffer
                                                           : 0;
}

static void leave(j_common_ptr common) {
    jpeg_work *work = common->client_data;
    char what[JMSG_LENGTH_MAX];
    common->err->format_message(common, what);
    tw_status status = common->err->msg_code == JERR_OUT_OF_MEMORY ? TW_ERR_MEMORY : TW_ERR_FORMAT;
    if (!work->status)
        work->status =
            image_refuse(work->message, status, "a JPEG file, offset %zu: %s", offset(work), what);
    longjmp(work->exit, 1);
}

static void refuse(jpeg_work *work, tw_status status, const char *what) {
    work->status =
        image_refuse(work->message, status, "a JPEG file, offset %zu: %s", offset(work), what);
    longjmp(work->exit, 1);
}

/* Warnings pass, as in other readers; but a file that is cut is not filled up with grey. */
static void warn(j_common_ptr common, int level) {
    if (level < 0 && common->err->msg_code == JWRN_JPEG_EOF)
        refuse(common->client_data, TW_ERR_FORMAT, "the file ends too early");
}

static void watch_scans(j_common_ptr common) {
    jpeg_work *work = common->client_data;
    if (work->jpeg.input_scan_number > SCANS_AT_MOST)
        refuse(work, TW_ERR_UNSUPPORTED, "more than 100 scans");
}

static void read_rows(jpeg_work *work, int64_t width, int64_t channels) {
    while (work->jpeg.output_scanline < work->jpeg.output_height) {
        size_t y = work->jpeg.output_scanline;
        JSAMPROW row = work->out->pixels + y * (size_t)(width * channels);
        jpeg_read_scanlines(&work->jpeg, &row, 1);
    }
}

/* Ink to light: an Adobe file stores what is left of white, and the product of both is seen. */
static void read_ink(jpeg_work *work, int64_t width) {
    work->row = malloc((size_t)width * CMYK);
    if (!work->row) refuse(work, TW_ERR_MEMORY, "no memory for a row");
    uint8_t turn = work->jpeg.saw_Adobe_marker ? 0 : 255;
    while (work->jpeg.output_scanline < work->jpeg.output_height) {
        size_t y = work->jpeg.output_scanline;
        uint8_t *to = work->out->pixels + y * (size_t)(width * 3);
        JSAMPROW row = work->row;
        jpeg_read_scanlines(&work->jpeg, &row, 1);
        for (int64_t x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                to[3 * x + c] =
                    (uint8_t)(((row[CMYK * x + c] ^ turn) * (row[CMYK * x + 3] ^ turn) + 127) /
                              255);
    }
}

static void read_picture(jpeg_work *work) {
    struct jpeg_decompress_struct *jpeg = &work->jpeg;
    jpeg_create_decompress(jpeg);
    jpeg->client_data = work;
    jpeg->progress = &work->progress;
    jpeg->mem->max_memory_to_use = (long)MEGABYTES_AT_MOST << 20;
    jpeg_mem_src(jpeg, work->bytes, (unsigned long)work->size);
    jpeg_read_header(jpeg, TRUE);
    if (jpeg->arith_code) refuse(work, TW_ERR_UNSUPPORTED, "arithmetic coding");
    bool grey = jpeg->num_components == 1, ink = jpeg->num_components == CMYK;
    jpeg->out_color_space = grey ? JCS_GRAYSCALE : ink ? JCS_CMYK : JCS_RGB;
    int64_t width = jpeg->image_width, height = jpeg->image_height, channels = grey ? 1 : 3;
    work->status = image_reserve(work->out, height, width, channels, work->size, PIXELS_OF_A_BYTE,
                                 work->message);
    if (work->status) longjmp(work->exit, 1);
    jpeg_start_decompress(jpeg);
    if (jpeg->output_components != (ink ? CMYK : channels) || jpeg->output_width != width)
        refuse(work, TW_ERR_UNSUPPORTED, "colours of a kind that libjpeg does not convert");
    if (ink)
        read_ink(work, width);
    else
        read_rows(work, width, channels);
    jpeg_finish_decompress(jpeg);
}

static void try_to_read(jpeg_work *work) {
    if (!setjmp(work->exit)) read_picture(work);
}

tw_status jpeg_decode(const uint8_t *bytes, size_t size, image *out, const image_message *message) {
    jpeg_work work = {.bytes = bytes, .size = size, .out = out, .message = message};
    work.jpeg.err = jpeg_std_error(&work.errors);
    work.jpeg.client_data = &work;
    work.errors.error_exit = leave;
    work.errors.emit_message = warn;
    work.progress.progress_monitor = watch_scans;
    try_to_read(&work);
    jpeg_destroy_decompress(&work.jpeg);
    free(work.row);
    return work.status;
}

#endif
