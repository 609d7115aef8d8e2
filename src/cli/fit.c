/* Matches columns with inputs, and converts them. */
#include "cli/fit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/graph.h>

#include <cJSON.h>

#include "cli/recode.h"
#include "ir/dimension.h"

enum { TYPE_LENGTH = 128, SAMPLE = 1024, NUMBER_LENGTH = 32 };

/* One fitting under way. */
typedef struct fitting {
    tw_context *context;
    const model_inputs *inputs;
    int n;
    const char *what;
    fit_rules *rules;
    fitted_data *out;
} fitting;

static bool is_float(tw_dtype dtype) {
    return dtype == TW_F16 || dtype == TW_BF16 || dtype == TW_F32 || dtype == TW_F64;
}

static const char *print_type(const fitting *fit, tw_type type, char out[TYPE_LENGTH]) {
    text words = {.context = fit->context};
    type_print(fit->context, type, &words);
    char *string = text_take(&words);
    snprintf(out, TYPE_LENGTH, "%s", string ? string : "?");
    tw_string_free(fit->context, string);
    return out;
}

static int column_named(const tw_dataset *set, const char *name) {
    for (int k = 0; k < tw_dataset_columns(set); k++)
        if (!strcmp(tw_dataset_name(set, k), name)) return k;
    return -1;
}

/* "features, label"; a column without a name adds nothing. */
static void add_name(char *words, size_t size, const char *name) {
    size_t used = strlen(words);
    if (*name) snprintf(words + used, size - used, "%s%s", used ? ", " : "", name);
}

/* By names; inputs without one of theirs take the other columns in order. */
static int match(fitting *fit) {
    const model_inputs *inputs = fit->inputs;
    const tw_dataset *set = fit->out->set;
    int columns = tw_dataset_columns(set), n = fit->n, named = 0, next = 0;
    bool taken[TW_MAX_COLUMNS] = {false};
    for (int i = 0; i < n; i++) {
        int column = fit->out->column[i] = column_named(set, inputs->name[i]);
        if (column >= 0) taken[column] = true;
        named += column >= 0;
    }
    if (named == n) return CLI_FINE;
    for (int i = 0; i < n; i++) {
        if (fit->out->column[i] >= 0) continue;
        while (next < columns && taken[next]) next++;
        fit->out->column[i] = next++;
    }
    if (columns == n || (columns > n && n < inputs->n)) return CLI_FINE;
    char there[512] = "", wanted[512] = "";
    for (int k = 0; k < columns; k++) add_name(there, sizeof there, tw_dataset_name(set, k));
    for (int i = 0; i < n; i++) add_name(wanted, sizeof wanted, inputs->name[i]);
    bool bare = !there[0] && columns < n; /* an array in a file of its own */
    return cli_fail("'%s' has %d column%s%s%s%s where model '%s' takes %d (%s)%s", fit->what,
                    columns, columns == 1 ? "" : "s", *there ? " (" : "", there, *there ? ")" : "",
                    inputs->model, n, wanted, bare ? "; --label names the labels' file" : "");
}

static int refuse_type(const fitting *fit, int i) {
    char there[TYPE_LENGTH], wanted[TYPE_LENGTH];
    int column = fit->out->column[i];
    print_type(fit, tw_dataset_type(fit->out->set, column), there);
    print_type(fit, fit->inputs->type[i], wanted);
    const char *name = tw_dataset_name(fit->out->set, column);
    return cli_fail("'%s': an example's %s%s%s%s is %s where model '%s' takes '%s' as %s; --set, "
                    "--label or other data may fit",
                    fit->what, *name ? "'" : "column", *name ? name : "", *name ? "'" : "",
                    *name ? "" : " there", there, fit->inputs->model, fit->inputs->name[i], wanted);
}

static int take(fitting *fit, tw_dataset *made) {
    if (!made) return cli_fail("'%s': %s", fit->what, tw_message(fit->context));
    tw_dataset_free(fit->out->set); /* the new one holds it */
    fit->out->set = made;
    return CLI_FINE;
}

/* x -> (x - mean) / deviation over the training data; of many images to decode, over a sample. */
static int find_scale(fitting *fit, int i, int column) {
    tw_dataset *set = fit->out->set, *rest = NULL, *sample = NULL;
    int64_t count = tw_dataset_count(set);
    double mean = 0, deviation = 0;
    bool part = tw_dataset_type(set, column).dtype != TW_U8 && count > 2 * SAMPLE;
    if (part && tw_dataset_split(set, SAMPLE / (double)count, 0, &rest, &sample))
        return cli_fail("'%s': %s", fit->what, tw_message(fit->context));
    tw_status status = tw_dataset_moments(part ? sample : set, column, &mean, &deviation);
    tw_dataset_free(rest);
    tw_dataset_free(sample);
    if (status) return cli_fail("'%s': %s", fit->what, tw_message(fit->context));
    if (!(deviation > 0)) deviation = 1; /* all of one grey */
    fit->rules->input[i].scaled = true;
    fit->rules->input[i].scale = 1 / deviation;
    fit->rules->input[i].offset = -mean / deviation;
    return CLI_FINE;
}

/* The data's code of each class -> the model's. */
static int rename_classes(fitting *fit, int column) {
    const tw_dataset *set = fit->out->set;
    fit_rules *rules = fit->rules;
    int64_t n = 0;
    bool same = true;
    while (tw_dataset_class(set, column, n)) n++;
    int32_t *map = malloc((size_t)(n + 1) * sizeof *map);
    if (!map) return cli_fail("out of memory");
    for (int64_t code = 0; code < n; code++) {
        const char *name = tw_dataset_class(set, column, code);
        map[code] = -1;
        for (int k = 0; k < rules->n_classes && map[code] < 0; k++)
            if (!strcmp(rules->classes[k], name)) map[code] = k;
        same = same && map[code] == code;
    }
    int code = same
                   ? CLI_FINE
                   : take(fit, recode(fit->context, object_hold(fit->out->set), column, n, map, 0));
    free(map);
    return code;
}

static int learn_classes(fitting *fit, int column) {
    fit_rules *rules = fit->rules;
    int64_t n = 0;
    while (n < INT32_MAX && tw_dataset_class(fit->out->set, column, n)) n++;
    rules->classes = calloc((size_t)n + 1, sizeof *rules->classes);
    bool good = rules->classes != NULL;
    for (int64_t i = 0; good && i < n; i++) {
        rules->classes[i] = strdup(tw_dataset_class(fit->out->set, column, i));
        good = rules->classes[i] != NULL;
        rules->n_classes += good;
    }
    return good ? CLI_FINE : cli_fail("out of memory");
}

/* With an extent that is open, the shape stays as it is. */
static bool fits_shape(tw_shape wanted, tw_shape *there) {
    bool same = wanted.rank == there->rank;
    for (int i = 0; i < wanted.rank; i++)
        same = same && (wanted.dim[i] < 0 || wanted.dim[i] == there->dim[i]);
    if (same || !shape_known(wanted)) return same;
    if (shape_elements(wanted) != shape_elements(*there)) return false;
    *there = wanted;
    return true;
}

static int fit_codes(fitting *fit, int i, int column) {
    int code = CLI_FINE;
    if (tw_dataset_class(fit->out->set, column, 0))
        code = fit->rules->known ? rename_classes(fit, column) : learn_classes(fit, column);
    tw_shape wanted = fit->inputs->type[i].shape;
    bool vector = is_float(fit->inputs->type[i].dtype) && wanted.rank == 1 && wanted.dim[0] > 1;
    if (code || !vector) return code;
    return take(fit,
                recode(fit->context, object_hold(fit->out->set), column, 0, NULL, wanted.dim[0]));
}

static int fit_column(fitting *fit, int i) {
    int column = fit->out->column[i];
    tw_type wanted = fit->inputs->type[i], there = tw_dataset_type(fit->out->set, column);
    bool picture =
        there.dtype == TW_U8 || !strcmp(tw_dataset_name(fit->out->set, column), "images");
    if (!is_float(there.dtype) && shape_elements(there.shape) == 1) {
        int code = fit_codes(fit, i, column);
        if (code) return code;
        there = tw_dataset_type(fit->out->set, column);
        picture = false;
    }
    if (!is_float(wanted.dtype) && is_float(there.dtype)) return refuse_type(fit, i);
    tw_shape shape = there.shape;
    if (!fits_shape(wanted.shape, &shape)) return refuse_type(fit, i);
    if (!fit->rules->known && picture && is_float(wanted.dtype)) {
        int code = find_scale(fit, i, column);
        if (code) return code;
    }
    bool scaled = fit->rules->input[i].scaled;
    if (!scaled && wanted.dtype == there.dtype && shape_equal(shape, there.shape)) return CLI_FINE;
    return take(fit, tw_dataset_convert(fit->out->set, column, wanted.dtype, shape,
                                        scaled ? fit->rules->input[i].scale : 1,
                                        scaled ? fit->rules->input[i].offset : 0));
}

int fit_data(tw_context *context, const model_inputs *inputs, int n, tw_dataset *raw,
             const char *what, fit_rules *rules, fitted_data *out) {
    fitting fit = {context, inputs, n, what, rules, out};
    *out = (fitted_data){.set = raw};
    int code = match(&fit);
    for (int i = 0; !code && i < n; i++) code = fit_column(&fit, i);
    if (!code) rules->known = true;
    return code;
}

void fit_end(fit_rules *rules) {
    for (int i = 0; i < rules->n_classes; i++) free(rules->classes[i]);
    free(rules->classes);
    *rules = (fit_rules){0};
}

/* A number as a string of all its digits: cJSON's own numbers may lose the last ones. */
static bool add_digits(cJSON *object, const char *name, double number) {
    char digits[NUMBER_LENGTH];
    snprintf(digits, sizeof digits, "%.17g", number);
    return cJSON_AddStringToObject(object, name, digits);
}

static bool read_digits(const cJSON *object, const char *name, double *out) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    char *end = NULL;
    if (!cJSON_IsString(item)) return false;
    *out = strtod(item->valuestring, &end);
    return end != item->valuestring && !*end && isfinite(*out);
}

char *fit_print(const fit_rules *rules, const model_inputs *inputs) {
    cJSON *json = cJSON_CreateObject();
    cJSON *scales = cJSON_AddObjectToObject(json, "inputs");
    cJSON *classes = cJSON_AddArrayToObject(json, "classes");
    bool good = scales && classes;
    for (int i = 0; good && i < inputs->n; i++) {
        if (!rules->input[i].scaled) continue;
        cJSON *item = cJSON_AddObjectToObject(scales, inputs->name[i]);
        good = item && add_digits(item, "scale", rules->input[i].scale) &&
               add_digits(item, "offset", rules->input[i].offset);
    }
    for (int i = 0; good && i < rules->n_classes; i++)
        good = cJSON_AddItemToArray(classes, cJSON_CreateString(rules->classes[i]));
    char *line = good ? cJSON_PrintUnformatted(json) : NULL, *copy = line ? strdup(line) : NULL;
    cJSON_free(line);
    cJSON_Delete(json);
    return copy;
}

static bool read_classes(const cJSON *list, fit_rules *out) {
    int n = cJSON_GetArraySize(list);
    if (n <= 0) return true;
    out->classes = calloc((size_t)n, sizeof *out->classes);
    for (int i = 0; out->classes && i < n; i++) {
        const cJSON *name = cJSON_GetArrayItem(list, i);
        char *copy = cJSON_IsString(name) ? strdup(name->valuestring) : NULL;
        if (!copy) return false;
        out->classes[out->n_classes++] = copy;
    }
    return out->classes != NULL;
}

bool fit_parse(const char *line, const model_inputs *inputs, fit_rules *out) {
    *out = (fit_rules){.known = true};
    cJSON *json = cJSON_Parse(line);
    const cJSON *scales = cJSON_GetObjectItemCaseSensitive(json, "inputs");
    bool good = cJSON_IsObject(scales);
    for (int i = 0; good && i < inputs->n; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(scales, inputs->name[i]);
        if (!item) continue;
        out->input[i].scaled = true;
        good = read_digits(item, "scale", &out->input[i].scale) &&
               read_digits(item, "offset", &out->input[i].offset);
    }
    good = good && read_classes(cJSON_GetObjectItemCaseSensitive(json, "classes"), out);
    cJSON_Delete(json);
    if (!good) fit_end(out);
    return good;
}
