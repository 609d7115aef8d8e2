/* idx files, plain and gzipped. */
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_file file;
    fuzz_file_begin(&file, data, size);
    tw_context *context = tw_context_new(NULL);
    tw_tensor *tensor = tw_idx_read(context, file.path);
    if (!tensor) fuzz_expect_message(context);
    tw_tensor_free(tensor);
    tw_context_free(context);
    fuzz_file_end(&file);
    return 0;
}
