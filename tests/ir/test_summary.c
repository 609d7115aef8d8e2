/* The table of layers: whole texts for a small network, before and after tw_minimize. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <thalweg/thalweg.h>

#include "support/golden.h"

static char *summary(tw_context *context, int64_t batch, bool train) {
    tw_store *store = tw_store_new(context, NULL);
    tw_graph *g = tw_graph_new(context, store, TW_SYMBOLIC, &(tw_graph_opts){.training = train});
    tw_value x = tw_input(g, "x", TW_F32, TW_SHAPE(batch, 6, 6, 1));
    tw_value labels = tw_input(g, "labels", TW_I32, TW_SHAPE(batch));
    const tw_conv_layer_opts same = {.conv = {.same = true, .relu = true}};
    tw_value h = tw_conv_layer(x, "conv", 4, (const int64_t[]){3, 3}, &same);
    h = tw_max_pool(h, &(tw_pool_opts){.window = {2, 2}});
    h = tw_dense(tw_reshape(h, TW_SHAPE(batch, 36)), "out", 10, NULL);
    tw_value loss = tw_cross_entropy(h, labels, NULL);
    if (train) tw_minimize(loss, &(tw_optimizer){.kind = TW_SGD});
    tw_outputs(g, 1, &loss);
    char *table = tw_graph_summary(g);
    if (!table) fail_msg("%s", tw_message(context));
    return table;
}

static void test_tables(void **state) {
    (void)state;
    tw_context *context = tw_context_new(NULL);
    char *table = summary(context, 8, false);
    golden_compare("summary.txt", table);
    /* conv: 3 x 3 x 1 x 4 weights, a multiply and an add each in 6 x 6 places of 8 pictures */
    assert_non_null(strstr(table, "conv      f32[8,6,6,4]                 40"));
    tw_string_free(context, table);
    table = summary(context, 8, true);
    golden_compare("summary_train.txt", table);
    assert_non_null(strstr(table, "\nbackward "));
    assert_non_null(strstr(table, "\nupdate "));
    tw_string_free(context, table);
    table = summary(context, tw_symbol(context, "batch"), false);
    assert_non_null(strchr(table, '?'));
    tw_string_free(context, table);
    tw_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tables)};
    return cmocka_run_group_tests_name("summary", tests, NULL, NULL);
}
