/* PNG and JPEG files, and resizing what they hold. NEEDS: src/io/image.c */
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "io/image.h"
#include "io/resize.h"

enum { HEIGHT = 5, WIDTH = 7 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char text[512] = "";
    const image_message message = {text, sizeof text};
    int64_t channels = size % 2 ? 1 : 3;
    image picture;
    if (image_decode(data, size, channels, &picture, &message)) {
        fuzz_expect(!picture.pixels && text[0], "no picture, and a message");
        return 0;
    }
    fuzz_expect(picture.channels == channels, "the channels that are asked for");
    float out[HEIGHT * WIDTH * 3];
    const image_box box = {0, 0, (double)picture.height, (double)picture.width};
    fuzz_expect(image_resize(&picture, box, HEIGHT, WIDTH, out), "memory");
    for (int64_t i = 0; i < HEIGHT * WIDTH * channels; i++)
        fuzz_expect(out[i] >= 0 && out[i] < 255.001f, "light of 0 to 255");
    image_end(&picture);
    return 0;
}
