/*
 * Files of PyTorch's own package (tests/golden/pytorch.safetensors by scripts/golden_safetensors.py),
 * parts of them under other names, and stores that take no new ones. With arguments it is the tool of
 * check_pytorch.sh, which has PyTorch's package read our files:
 *
 *     io_foreign write FOLDER     a checkpoint with a tensor of every type
 *     io_foreign copy FROM TO     a file read and written
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <thalweg/thalweg.h>
#include <unistd.h>

#define FILE_OF_THEIRS "tests/golden/pytorch.safetensors"
#define ODD_NAME "caf\xc3\xa9 \"\xe2\x82\xac\"\\"

static const tw_dtype types[] = {TW_BOOL, TW_U8,   TW_I32, TW_I64, TW_U32,
                                 TW_F16,  TW_BF16, TW_F32, TW_F64};
enum { TYPES = sizeof types / sizeof *types, THEIRS = 15 };

/* Element i of the files' tensors of every type, and its bits. */
static int64_t number(tw_dtype dtype, int i) {
    if (dtype == TW_BOOL) return i % 2;
    return 3 * i + (dtype == TW_U8 || dtype == TW_U32 ? 4 : -4);
}

static void fill(tw_dtype dtype, void *data) {
    /* -4, -1, 2, 5, 8, 11 */
    static const uint16_t f16[] = {0xc400, 0xbc00, 0x4000, 0x4500, 0x4800, 0x4980};
    static const uint16_t bf16[] = {0xc080, 0xbf80, 0x4000, 0x40a0, 0x4100, 0x4130};
    for (int i = 0; i < 6; i++) {
        int64_t n = number(dtype, i);
        switch (dtype) {
        case TW_I32: ((int32_t *)data)[i] = (int32_t)n; break;
        case TW_I64: ((int64_t *)data)[i] = n; break;
        case TW_U32: ((uint32_t *)data)[i] = (uint32_t)n; break;
        case TW_F16: ((uint16_t *)data)[i] = f16[i]; break;
        case TW_BF16: ((uint16_t *)data)[i] = bf16[i]; break;
        case TW_F32: ((float *)data)[i] = (float)n; break;
        case TW_F64: ((double *)data)[i] = (double)n; break;
        default: ((unsigned char *)data)[i] = (unsigned char)n;
        }
    }
}

/* ---- the tool ---- */

static tw_status write_ours(tw_context *context, const char *folder) {
    tw_store *store = tw_store_new(context, &(tw_store_opts){.seed = UINT64_MAX});
    tw_status status = TW_OK;
    for (int k = 0; k < TYPES && !status; k++) {
        char name[32];
        snprintf(name, sizeof name, "all/%s", tw_dtype_name(types[k]));
        tw_tensor *tensor = tw_tensor_new(context, types[k], TW_SHAPE(2, 3));
        if (!tensor) return tw_last_status(context);
        fill(types[k], tw_tensor_map(tensor));
        status = tw_store_set(store, name, tensor);
        tw_tensor_free(tensor);
    }
    tw_tensor *empty = tw_tensor_new(context, TW_F32, TW_SHAPE(0, 4));
    if (!status) status = tw_store_set(store, "empty", empty);
    tw_tensor *scalar = tw_tensor_new(context, TW_F32, TW_SHAPE());
    if (!status) status = tw_tensor_put(scalar, &(float){2.5f}, 4);
    if (!status) status = tw_store_set(store, ODD_NAME, scalar);
    tw_checkpoints *series = tw_checkpoints_new(store, NULL, folder, NULL);
    if (!status) status = tw_checkpoints_note(series, ODD_NAME, "zwei\nZeilen \"\xe2\x82\xac\"");
    return status ? status : tw_checkpoints_save(series, 0.1);
}

static tw_status copy_file(tw_context *context, const char *from, const char *to) {
    tw_store *store = tw_store_new(context, NULL);
    tw_status status = tw_store_load_part(store, from, &(tw_load_opts){.except = "foreign*"}, NULL);
    return status ? status : tw_store_save(store, to);
}

static int tool(int count, char **words) {
    tw_context *context = tw_context_new(NULL);
    tw_status status = TW_ERR_ARGUMENT;
    if (count == 3 && !strcmp(words[1], "write")) status = write_ours(context, words[2]);
    if (count == 4 && !strcmp(words[1], "copy")) status = copy_file(context, words[2], words[3]);
    if (status) fprintf(stderr, "%d: %s\n", (int)status, tw_message(context));
    tw_context_free(context);
    return status != TW_OK;
}

/* ---- the tests ---- */

static tw_context *context;
static tw_store *store;

static int begin(void **state) {
    (void)state;
    context = tw_context_new(&(tw_context_opts){.threads = 1});
    store = tw_store_new(context, NULL);
    return !store;
}

static int end(void **state) {
    (void)state;
    tw_context_free(context);
    return 0;
}

static tw_status load(const tw_load_opts *opts, int *loaded) {
    return tw_store_load_part(store, FILE_OF_THEIRS, opts, loaded);
}

static void loads(const tw_load_opts *opts, int count) {
    int loaded = -1, before = tw_store_size(store);
    if (load(opts, &loaded)) fail_msg("%s", tw_message(context));
    assert_int_equal(loaded, count);
    assert_true(tw_store_size(store) <= before + count);
}

static void refuses(const tw_load_opts *opts, tw_status status, const char *says) {
    int loaded = -1, before = tw_store_size(store);
    assert_int_equal(load(opts, &loaded), status);
    if (!strstr(tw_message(context), says)) fail_msg("%s", tw_message(context));
    assert_int_equal(loaded, 0);
    assert_int_equal(tw_store_size(store), before);
}

static void holds(const char *path, double value) {
    tw_tensor *tensor = tw_store_get(store, path);
    if (!tensor) fail_msg("%s", tw_message(context));
    float first;
    memcpy(&first, tw_tensor_map(tensor), sizeof first);
    assert_true((double)first == value);
    tw_tensor_free(tensor);
}

static bool lacks(const char *path) {
    tw_tensor *tensor = tw_store_get(store, path);
    tw_tensor_free(tensor);
    return !tensor;
}

static void their_types(void **state) {
    (void)state;
    loads(&(tw_load_opts){.except = "foreign*"}, THEIRS - 1);
    for (int k = 0; k < TYPES; k++) {
        char name[32], want[64] = {0};
        snprintf(name, sizeof name, "all.%s", tw_dtype_name(types[k]));
        tw_tensor *tensor = tw_store_get(store, name);
        assert_non_null(tensor);
        tw_type type = tw_tensor_type(tensor);
        assert_int_equal(type.dtype, types[k]);
        assert_true(type.shape.rank == 2 && type.shape.dim[0] == 2 && type.shape.dim[1] == 3);
        fill(types[k], want);
        assert_memory_equal(tw_tensor_map(tensor), want, 6 * tw_dtype_size(types[k]));
        tw_tensor_free(tensor);
    }
    holds("scalar", 2.5);
    holds(ODD_NAME, 1);
    tw_tensor *empty = tw_store_get(store, "empty");
    assert_int_equal(tw_tensor_type(empty).shape.dim[1], 4);
    tw_tensor_free(empty);
}

/* A type that we lack matters only to who asks for it. */
static void a_foreign_type(void **state) {
    (void)state;
    refuses(NULL, TW_ERR_UNSUPPORTED, "'foreign.i8' has dtype 'I8'");
    refuses(&(tw_load_opts){.only = "scalar foreign.i8"}, TW_ERR_UNSUPPORTED, "I8");
    assert_int_equal(tw_store_load(store, FILE_OF_THEIRS), TW_ERR_UNSUPPORTED);
    assert_int_equal(tw_store_size(store), 0);
    loads(&(tw_load_opts){.only = "scalar"}, 1);
}

static void patterns(void **state) {
    (void)state;
    loads(&(tw_load_opts){.only = "scalar  enc*.1.* "}, 2);
    assert_true(lacks("encoder.layers.0.weight"));
    holds("encoder.layers.1.weight", 6);
    loads(&(tw_load_opts){.only = "enc*", .except = "*1*"}, 1);
    holds("encoder.layers.0.weight", 5);
    loads(&(tw_load_opts){.only = "scalar", .except = "scalar"}, 0);
    refuses(&(tw_load_opts){.only = "scalar decoder.*"}, TW_ERR_NOT_FOUND,
            ".only \"decoder.*\" matches none of its 15 tensors");
    loads(&(tw_load_opts){.only = "scalar", .except = "optimizer/*"}, 1);
    loads(&(tw_load_opts){.only = "scalar", .rename = ""}, 1);
}

static void names(void **state) {
    (void)state;
    loads(&(tw_load_opts){.only = "enc* scalar",
                          .rename = "encoder.layers.1.*=last/* encoder.layers.*.*=block*/* "
                                    "scalar=bias"},
          3);
    holds("last/weight", 6);
    holds("block0/weight", 5);
    holds("bias", 2.5);
    assert_int_equal(tw_store_size(store), 3);
    loads(&(tw_load_opts){.only = "enc*", .rename = "encoder.*.0.*=*"}, 2); /* fewer stars */
    holds("layers", 5);
    refuses(&(tw_load_opts){.only = "enc*", .rename = "*=same"}, TW_ERR_ARGUMENT,
            "would both become 'same'");
    refuses(&(tw_load_opts){.only = "enc* scalar", .rename = "enc*0.weight=scalar"},
            TW_ERR_ARGUMENT, "would both become 'scalar'");
    refuses(&(tw_load_opts){.rename = "decoder.*=*"}, TW_ERR_NOT_FOUND, "decoder.*");
    refuses(&(tw_load_opts){.rename = "scalar"}, TW_ERR_ARGUMENT, "is not FROM=TO");
    refuses(&(tw_load_opts){.rename = "=scalar"}, TW_ERR_ARGUMENT, "is not FROM=TO");
    refuses(&(tw_load_opts){.rename = "scalar="}, TW_ERR_ARGUMENT, "is not FROM=TO");
    refuses(&(tw_load_opts){.rename = "scalar=*"}, TW_ERR_ARGUMENT, "more stars");
    refuses(&(tw_load_opts){.rename = "*********=a"}, TW_ERR_ARGUMENT, "too many stars");
}

/* What a star stands for when the text behind it comes more than once. */
static void greedy_stars(void **state) {
    (void)state;
    loads(&(tw_load_opts){.only = "enc*0.weight", .rename = "*e*t=<*|*>"}, 1);
    holds("<|ncoder.layers.0.weigh>", 5);
    loads(&(tw_load_opts){.only = "enc*0.weight", .rename = "enc*er*=<*|*>"}, 1);
    holds("<od|.layers.0.weight>", 5);
    loads(&(tw_load_opts){.only = "enc*0.weight", .rename = "**=<*|*>"}, 1);
    holds("<|encoder.layers.0.weight>", 5);
    loads(&(tw_load_opts){.only = "enc*0.weight", .rename = "encoder.layers.0.weight*=<*>"}, 1);
    holds("<>", 5);
}

static void other_shapes(void **state) {
    (void)state;
    tw_tensor *wide = tw_tensor_new(context, TW_F32, TW_SHAPE(2, 3));
    assert_int_equal(tw_store_set(store, "head", wide), TW_OK);
    tw_tensor_free(wide);
    const char *rename = "encoder.layers.0.weight=head";
    refuses(&(tw_load_opts){.only = "enc* scalar", .rename = rename}, TW_ERR_SHAPE,
            "f32[2,3] in the store, as 'head'");
    assert_int_equal(tw_store_size(store), 1);
    loads(&(tw_load_opts){.only = "enc* scalar", .rename = rename, .lenient = true}, 2);
    holds("head", 0);
    tw_tensor *integer = tw_tensor_new(context, TW_I32, TW_SHAPE(2, 2));
    assert_int_equal(tw_store_set(store, "number", integer), TW_OK);
    tw_tensor_free(integer);
    refuses(&(tw_load_opts){.only = "enc*0*",
                            .rename = "encoder.layers.0.weight=number",
                            .lenient = true},
            TW_ERR_TYPE, "i32[2,2]");
}

static void layer(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    (void)graph;
    out[0] = tw_dense(in[0], config, 2, NULL);
}

static tw_status run_layer(const char *name) {
    tw_tensor *in = tw_tensor_new(context, TW_F32, TW_SHAPE(1, 3)), *out = NULL;
    char copy[16] = {0};
    strncpy(copy, name, sizeof copy - 1);
    tw_jit *jit = tw_jit_new(context, store, layer, 1, 1, copy, sizeof copy, NULL);
    tw_status status = tw_jit_run(jit, &in, &out);
    tw_tensor_free(in);
    tw_tensor_free(out);
    tw_jit_free(jit);
    return status;
}

/* A frozen store takes values, but no new names: from files, from the caller, from graphs. */
static void freezing(void **state) {
    (void)state;
    assert_int_equal(run_layer("fc"), TW_OK);
    loads(&(tw_load_opts){.only = "scalar"}, 1);
    int size = tw_store_size(store);
    assert_int_equal(tw_store_freeze(store), TW_OK);
    assert_int_equal(run_layer("fc"), TW_OK);
    assert_true(run_layer("cf") < 0);
    assert_non_null(strstr(tw_message(context), "cf/"));
    loads(&(tw_load_opts){.only = "scalar"}, 1);
    refuses(&(tw_load_opts){.only = "scalar enc*0*"}, TW_ERR_NOT_FOUND, "frozen");
    tw_tensor *one = tw_tensor_new(context, TW_F32, TW_SHAPE());
    assert_int_equal(tw_store_set(store, "scalar", one), TW_OK);
    assert_int_equal(tw_store_set(store, "skalar", one), TW_ERR_NOT_FOUND);
    tw_tensor_free(one);
    assert_int_equal(tw_store_size(store), size);
}

int main(int count, char **words) {
    if (count > 1) return tool(count, words);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(their_types, begin, end),
        cmocka_unit_test_setup_teardown(a_foreign_type, begin, end),
        cmocka_unit_test_setup_teardown(patterns, begin, end),
        cmocka_unit_test_setup_teardown(names, begin, end),
        cmocka_unit_test_setup_teardown(greedy_stars, begin, end),
        cmocka_unit_test_setup_teardown(other_shapes, begin, end),
        cmocka_unit_test_setup_teardown(freezing, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
