/* PNG and JPEG files, and resizing what they hold. The sums of a PNG's chunks are put right first:
 * libpng would look at next to nothing otherwise. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "fuzz/fuzz.h"
#include "io/bytes.h"
#include "io/image.h"
#include "io/resize.h"

enum { HEIGHT = 5, WIDTH = 7, PNG_HEAD = 8, CHUNK_HEAD = 8, SUM = 4 };

/* A chunk: u32 length, four letters, the data, u32 sum over letters and data. */
static void repair_sums(uint8_t *data, size_t size) {
    for (size_t at = PNG_HEAD; at + CHUNK_HEAD + SUM <= size;) {
        size_t length = bytes_big_u32(data + at);
        if (length > size - at - CHUNK_HEAD - SUM) return;
        uint32_t sum = (uint32_t)crc32(0, data + at + 4, (unsigned)length + 4);
        at += CHUNK_HEAD + length;
        for (int i = 0; i < SUM; i++) data[at + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
        at += SUM;
    }
}

static void decode(const uint8_t *data, size_t size) {
    char text[512] = "";
    const image_message message = {text, sizeof text};
    int64_t channels = size % 2 ? 1 : 3;
    image picture;
    if (image_decode(data, size, channels, &picture, &message)) {
        fuzz_expect(!picture.pixels && text[0], "no picture, and a message");
        return;
    }
    fuzz_expect(picture.channels == channels, "the channels that are asked for");
    float out[HEIGHT * WIDTH * 3];
    const image_box box = {0, 0, (double)picture.height, (double)picture.width};
    fuzz_expect(image_resize(&picture, box, HEIGHT, WIDTH, out), "memory");
    for (int64_t i = 0; i < HEIGHT * WIDTH * channels; i++)
        fuzz_expect(out[i] >= 0 && out[i] < 255.001f, "light of 0 to 255");
    image_end(&picture);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size + !size);
    fuzz_expect(copy != NULL, "memory");
    if (size) memcpy(copy, data, size);
    if (size && data[0] == 0x89) repair_sums(copy, size);
    decode(copy, size);
    free(copy);
    return 0;
}
