/* safetensors files: loaded into a store that knows one of the paths already. */
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_file file;
    fuzz_file_begin(&file, data, size);
    tw_context *context = tw_context_new(NULL);
    tw_store *store = tw_store_new(context, NULL);
    if (tw_store_load(store, file.path)) fuzz_expect_message(context);
    for (int i = 0; i < tw_store_size(store); i++) {
        tw_tensor *tensor = tw_store_get(store, tw_store_path(store, i));
        fuzz_expect(tensor != NULL, "a loaded variable can be read");
        tw_tensor_free(tensor);
    }
    tw_store_free(store);
    tw_context_free(context);
    fuzz_file_end(&file);
    return 0;
}
