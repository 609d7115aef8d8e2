/* The text form of graphs: what parses verifies or says why not, and prints to what parses back. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    fuzz_expect(text != NULL, "memory");
    memcpy(text, data, size);
    text[size] = '\0';
    tw_context *context = tw_context_new(NULL);
    tw_store *store = tw_store_new(context, NULL);
    tw_graph *graph = tw_graph_parse(context, store, text);
    if (!graph) fuzz_expect_message(context);
    if (graph && tw_graph_verify(graph) == TW_OK) {
        char *printed = tw_graph_print(graph);
        fuzz_expect(printed != NULL, "a verified graph prints");
        tw_store *other = tw_store_new(context, NULL);
        tw_graph *again = tw_graph_parse(context, other, printed);
        fuzz_expect(again != NULL, "a printed graph parses");
        char *twice = tw_graph_print(again);
        fuzz_expect(twice && !strcmp(printed, twice), "it prints the same again");
        tw_string_free(context, twice);
        tw_string_free(context, printed);
        tw_graph_free(again);
        tw_store_free(other);
    }
    tw_graph_free(graph);
    tw_store_free(store);
    tw_context_free(context);
    free(text);
    return 0;
}
