/* Compiled objects as the cache of machine code keeps them: they load or are refused; none is run. */
#include "codegen/object_code.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    object_code code;
    if (!object_code_load(data, size, &code)) return 0;
    const char *image = code.image, *kernel = code.kernel;
    fuzz_expect(kernel >= image && kernel < image + code.bytes, "the function lies in the image");
    object_code_free(&code);
    fuzz_expect(!code.image, "nothing is left");
    return 0;
}
