/* CSV files. The first byte chooses the options, the rest is the file. */
#include "fuzz/datasets.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size) return 0;
    const tw_csv_opts opts = {
        .separator = data[0] & 1 ? ';' : 0,
        .no_header = data[0] & 2,
        .no_label = data[0] & 4,
        .regression = data[0] & 8,
        .fill_mean = data[0] & 16,
        .fill = data[0] & 32 ? 1.5 : 0,
        .label = data[0] & 64 ? "a" : NULL,
        .columns = data[0] & 128 ? "b c" : NULL,
    };
    fuzz_file file;
    fuzz_file_begin(&file, data + 1, size - 1);
    tw_context *context = tw_context_new(NULL);
    tw_dataset *dataset = tw_dataset_csv(context, file.path, &opts);
    if (!dataset) fuzz_expect_message(context);
    fuzz_dataset(context, dataset);
    tw_context_free(context);
    fuzz_file_end(&file);
    return 0;
}
