/* NumPy archives: one array by its name, and all as a dataset, read from the first to the last. */
#include "fuzz/datasets.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_file file;
    fuzz_file_begin(&file, data, size);
    tw_context *context = tw_context_new(NULL);
    tw_tensor *tensor = tw_npz_read(context, file.path, "a");
    if (!tensor) fuzz_expect_message(context);
    tw_tensor_free(tensor);
    tw_dataset *dataset = tw_dataset_npz(context, file.path);
    if (!dataset) fuzz_expect_message(context);
    fuzz_dataset(context, dataset);
    tw_context_free(context);
    fuzz_file_end(&file);
    return 0;
}
