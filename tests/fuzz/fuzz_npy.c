/* NumPy arrays; what is read is written and read again. */
#include <string.h>

#include "fuzz/fuzz.h"

/* The array's bytes as they come back from a file that Thalweg wrote. */
static void check_round_trip(tw_context *context, tw_tensor *tensor) {
    fuzz_file file;
    fuzz_file_begin(&file, NULL, 0);
    if (tw_npy_write(tensor, file.path) == TW_OK) {
        tw_tensor *again = tw_npy_read(context, file.path);
        fuzz_expect(again != NULL, "a written array reads back");
        fuzz_expect(tw_tensor_bytes(again) == tw_tensor_bytes(tensor), "of the same size");
        if (tw_tensor_bytes(tensor))
            fuzz_expect(
                !memcmp(tw_tensor_map(again), tw_tensor_map(tensor), tw_tensor_bytes(tensor)),
                "with the same bytes");
        tw_tensor_free(again);
    }
    fuzz_file_end(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_file file;
    fuzz_file_begin(&file, data, size);
    tw_context *context = tw_context_new(NULL);
    tw_tensor *tensor = tw_npy_read(context, file.path);
    if (!tensor) fuzz_expect_message(context);
    if (tensor) check_round_trip(context, tensor);
    tw_tensor_free(tensor);
    tw_context_free(context);
    fuzz_file_end(&file);
    return 0;
}
