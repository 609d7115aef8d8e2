/* `thalweg predict`: a trained model's predictions, as CSV or as a NumPy array. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <thalweg/thalweg.h>

#include "cli/trained.h"
#include "ir/dimension.h"

typedef struct prediction {
    trained trained;
    tw_jit *jit;
    tw_loader *loader;
    tw_tensor *out;
    const char *path;
    bool numpy;
    FILE *file;       /* CSV; may be standard output */
    tw_tensor *whole; /* NPY: all rows */
    int64_t n, done;  /* examples in the latest batch, in all so far */
} prediction;

static void predict(tw_graph *graph, const tw_value *in, tw_value *out, const void *config) {
    const chosen_model *chosen = config;
    chosen->model->predict(graph, in, out, chosen->config);
}

static int fail(const prediction *it) { return cli_fail("%s", tw_message(it->trained.context)); }

static const char *name_of(const prediction *it) { return it->path ? it->path : "standard output"; }

/* Elements of a row, which has a class when the model counts right answers. */
static int64_t row_elements(const prediction *it) {
    tw_type type = tw_tensor_type(it->out);
    return shape_elements(tw_shape_make(type.shape.rank - 1, type.shape.dim + 1));
}

static bool has_class(const prediction *it) {
    return model_counts(it->trained.chosen.model) && tw_tensor_type(it->out).shape.rank == 2 &&
           row_elements(it) > 1;
}

/* A field of RFC 4180. */
static void put_field(FILE *file, const char *word) {
    if (!word[strcspn(word, ",\"\r\n")]) {
        fputs(word, file);
        return;
    }
    fputc('"', file);
    for (; *word; word++) {
        if (*word == '"') fputc('"', file);
        fputc(*word, file);
    }
    fputc('"', file);
}

static void put_class(const prediction *it, int64_t code) {
    const fit_rules *rules = &it->trained.rules;
    if (code < rules->n_classes)
        put_field(it->file, rules->classes[code]);
    else
        fprintf(it->file, "%lld", (long long)code);
}

static void put_header(const prediction *it, int64_t elements) {
    bool classes = has_class(it);
    if (classes) fputs("class,", it->file);
    for (int64_t k = 0; k < elements; k++) {
        if (k) fputc(',', it->file);
        if (classes)
            put_class(it, k);
        else
            fprintf(it->file, elements > 1 ? "prediction%lld" : "prediction", (long long)k);
    }
    fputc('\n', it->file);
}

static double element_at(const void *data, tw_dtype dtype, int64_t i) {
    switch (dtype) {
    case TW_F64: return ((const double *)data)[i];
    case TW_I32: return ((const int32_t *)data)[i];
    case TW_I64: return (double)((const int64_t *)data)[i];
    case TW_U8:
    case TW_BOOL: return ((const uint8_t *)data)[i];
    default: return ((const float *)data)[i];
    }
}

static void put_row(const prediction *it, const void *data, int64_t row, int64_t elements) {
    tw_dtype dtype = tw_tensor_type(it->out).dtype;
    const int digits = dtype == TW_F64 ? 17 : 9;
    int64_t best = 0;
    for (int64_t k = 1; k < elements; k++)
        if (element_at(data, dtype, row * elements + k) >
            element_at(data, dtype, row * elements + best))
            best = k;
    if (has_class(it)) {
        put_class(it, best);
        fputc(',', it->file);
    }
    for (int64_t k = 0; k < elements; k++)
        fprintf(it->file, "%s%.*g", k ? "," : "", digits,
                element_at(data, dtype, row * elements + k));
    fputc('\n', it->file);
}

static bool put_csv(prediction *it, int64_t n) {
    const void *data = tw_tensor_map(it->out);
    int64_t elements = row_elements(it);
    if (!data && elements) return fail(it) == CLI_FINE;
    if (!it->done) put_header(it, elements);
    for (int64_t row = 0; row < n; row++) put_row(it, data, row, elements);
    if (!ferror(it->file)) return true;
    return cli_fail("cannot write '%s': %s", name_of(it), strerror(errno)) == CLI_FINE;
}

/* Into its place among all rows. */
static bool put_numpy(prediction *it) {
    tw_type type = tw_tensor_type(it->out);
    int64_t n = type.shape.dim[0];
    if (!it->whole) {
        type.shape.dim[0] = tw_dataset_count(it->trained.data.set);
        it->whole = tw_tensor_new(it->trained.context, type.dtype, type.shape);
        if (!it->whole) return fail(it) == CLI_FINE;
    }
    size_t bytes = tw_tensor_bytes(it->out), row = n ? bytes / (size_t)n : 0;
    char *to = tw_tensor_map(it->whole);
    if (bytes && tw_tensor_get(it->out, to + (size_t)it->done * row, bytes))
        return fail(it) == CLI_FINE;
    return true;
}

/* One batch; *end: there is none. */
static bool predict_batch(prediction *it, bool *end) {
    tw_tensor *batch[TW_MAX_COLUMNS] = {NULL}, *in[MODEL_INPUTS] = {NULL};
    tw_status status = tw_loader_next(it->loader, batch);
    *end = status == TW_END;
    if (*end) return true;
    int n_in = model_predicts_from(it->trained.chosen.model);
    for (int i = 0; !status && i < n_in; i++) in[i] = batch[it->trained.data.column[i]];
    if (status) return fail(it) == CLI_FINE;
    int64_t n = tw_tensor_type(in[0]).shape.dim[0];
    if (it->n != n) { /* a last batch that is not full */
        tw_tensor_free(it->out);
        it->out = NULL;
    }
    it->n = n;
    if (tw_jit_run(it->jit, in, &it->out)) return fail(it) == CLI_FINE;
    tw_shape shape = tw_tensor_type(it->out).shape;
    if (shape.rank < 1 || shape.dim[0] != n)
        return cli_fail("predict of model '%s' gives no row for each example",
                        it->trained.chosen.model->name) == CLI_FINE;
    if (!(it->numpy ? put_numpy(it) : put_csv(it, n))) return false;
    it->done += n;
    return true;
}

static bool finish(prediction *it) {
    if (it->numpy) return !tw_npy_write(it->whole, it->path) || fail(it) == CLI_FINE;
    bool own = it->file != stdout;
    bool good = !fflush(it->file) && !(own && fclose(it->file));
    it->file = NULL;
    if (!good) cli_fail("cannot write '%s': %s", name_of(it), strerror(errno));
    return good;
}

static int perform(prediction *it) {
    trained *trained = &it->trained;
    const tw_model *model = trained->chosen.model;
    if (!model->predict) return cli_fail("model '%s' has no predict function", model->name);
    int n = model_predicts_from(model), code = trained_load(trained, MODEL_PREDICT);
    if (!code) code = trained_read(trained, n);
    if (code) return code;
    it->loader =
        tw_loader_new(trained->data.set, &(tw_loader_opts){.batch = trained->settings->batch});
    it->jit = tw_jit_new(trained->context, trained->store, predict, n, 1, &trained->chosen,
                         sizeof trained->chosen, &(tw_jit_opts){.open = score_open(n)});
    if (!it->loader || !it->jit) return fail(it);
    if (!it->numpy) it->file = it->path ? fopen(it->path, "w") : stdout;
    if (!it->numpy && !it->file)
        return cli_fail("cannot write '%s': %s", name_of(it), strerror(errno));
    for (bool end = false; !end;)
        if (!predict_batch(it, &end)) return CLI_FAILED;
    if (!finish(it)) return CLI_FAILED;
    if (it->path) printf("wrote %lld predictions to %s\n", (long long)it->done, it->path);
    return CLI_FINE;
}

static void print_more(void) {
    model_print_help();
    data_print_help();
    cli_heading("Examples");
    printf("  thalweg predict mlp --data DIR --weights out/mlp --out answers.csv\n"
           "  thalweg predict my_model.c --data new.csv --weights out/f --out answers.npy\n");
}

static bool ends_with(const char *path, const char *end) {
    size_t length = path ? strlen(path) : 0, n = strlen(end);
    return length > n && !strcmp(path + length - n, end);
}

static int run(int argc, char **argv) {
    trained_settings s = {.batch = 256};
    prediction it = {0};
    const cli_option options[] = {
        {"out", "FILE", "FILE.csv or FILE.npy; default: CSV on standard output", OPTION_TEXT,
         &it.path, 0, 0},
        TRAINED_OPTIONS(s),
        {"no-label", NULL, "CSV: every column is a feature", OPTION_FLAG, &s.data.no_label, 0, 0},
        {0}};
    const cli_usage usage = {
        "predict", "MODEL --data PATH --weights PATH [OPTION...]",
        "Writes a trained model's predictions, a row for each example: as CSV the class\n"
        "that is likeliest and the number of each, or the numbers as a NumPy array.",
        options, print_more};
    int code = CLI_FINE;
    if (!options_read(&usage, argc, argv, &s.model.word, 1, &code)) return code;
    if (!s.data.path)
        return cli_misuse("for which data? --data PATH; see 'thalweg predict --help'");
    it.numpy = ends_with(it.path, ".npy");
    if (ends_with(it.path, ".npz"))
        return cli_misuse("--out takes FILE.csv or FILE.npy, not '%s'", it.path);
    code = trained_open(&it.trained, "predict", &s);
    if (!code) code = perform(&it);
    if (it.file && it.file != stdout) fclose(it.file);
    tw_tensor_free(it.out);
    tw_tensor_free(it.whole);
    tw_jit_free(it.jit);
    tw_loader_free(it.loader);
    trained_close(&it.trained);
    return code;
}

const cli_command predict_command = {"predict", "a trained model's predictions as CSV or NPY", run};
