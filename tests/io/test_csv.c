/* CSV datasets: the format, types, missing values, labels, every refusal, and any order of reading. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/data.h>
#include <thalweg/optim.h>
#include <unistd.h>

#include "base/number.h"
#include "io/decimal.h"

static tw_context *context;
static char path[64];

static int begin(void **state) {
    (void)state;
    snprintf(path, sizeof path, "/tmp/thalweg-csv-XXXXXX");
    int descriptor = mkstemp(path);
    context = tw_context_new(NULL);
    return descriptor < 0 || close(descriptor) || !context;
}

static int end(void **state) {
    (void)state;
    tw_context_free(context);
    return unlink(path);
}

static void put_bytes(const void *bytes, size_t count) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}
static void put(const char *text) { put_bytes(text, strlen(text)); }

static tw_dataset *opened(const char *text, const tw_csv_opts *opts) {
    put(text);
    tw_dataset *dataset = tw_dataset_csv(context, path, opts);
    if (!dataset) fail_msg("%s", tw_message(context));
    return dataset;
}

/* Features and labels are as stated; a class label is compared as its number. */
static void holds(const char *text, const tw_csv_opts *opts, int64_t rows, int64_t columns,
                  const float *features, const float *labels) {
    tw_dataset *dataset = opened(text, opts);
    assert_int_equal(tw_dataset_count(dataset), rows);
    assert_int_equal(tw_dataset_type(dataset, 0).shape.rank, 1);
    assert_int_equal(tw_dataset_type(dataset, 0).shape.dim[0], columns);
    assert_int_equal(tw_dataset_type(dataset, 0).dtype, TW_F32);
    assert_int_equal(tw_dataset_columns(dataset), labels ? 2 : 1);
    for (int64_t row = rows - 1; row >= 0; row--) {
        float example[64];
        union {
            float number;
            int32_t code;
        } label;
        assert_int_equal(tw_dataset_read(dataset, 1, &row, (void *[]){example, &label}), TW_OK);
        for (int64_t i = 0; i < columns; i++) {
            float expected = features[row * columns + i];
            if (isnan(expected))
                assert_true(isnan(example[i]));
            else if (example[i] != expected)
                fail_msg("row %" PRId64 " column %" PRId64 ": %.9g, expected %.9g", row, i,
                         (double)example[i], (double)expected);
        }
        if (!labels) continue;
        assert_int_equal(tw_dataset_type(dataset, 1).shape.rank, 0);
        bool code = tw_dataset_type(dataset, 1).dtype == TW_I32;
        assert_true((code ? (float)label.code : label.number) == labels[row]);
    }
    tw_dataset_free(dataset);
}

static void reads_numbers_and_classes(void **state) {
    (void)state;
    tw_dataset *dataset = opened("a,b,kind\n1,2,red\n-3.5,4e-2,blue\n+.5,6.,red\n", NULL);
    assert_string_equal(tw_dataset_name(dataset, 0), "features");
    assert_string_equal(tw_dataset_name(dataset, 1), "label");
    assert_string_equal(tw_dataset_class(dataset, 1, 0), "red");
    assert_string_equal(tw_dataset_class(dataset, 1, 1), "blue");
    assert_null(tw_dataset_class(dataset, 1, 2));
    tw_dataset_free(dataset);
    holds("a,b,kind\n1,2,red\n-3.5,4e-2,blue\n+.5,6.,red\n", NULL, 3, 2,
          (float[]){1, 2, -3.5f, 0.04f, 0.5f, 6}, (float[]){0, 1, 0});
}

static void knows_the_format(void **state) {
    (void)state;
    const float four[] = {1, 2, 3, 4}, labels[] = {0, 1};
    holds("a,b,y\r\n1,2,p\r\n3,4,q\r\n", NULL, 2, 2, four, labels);
    holds("a,b,y\r\n1,2,p\r\n3,4,q", NULL, 2, 2, four, labels);
    holds("a,b,y\n1,2,p\n3,4,q\r", NULL, 2, 2, four, labels);
    holds("\xef\xbb\xbf\"a\",b,y\n1,2,p\n3,4,q", NULL, 2, 2, four, labels);
    holds("\n\na,b,y\n\n1,2,p\n\r\n\n3,4,q\n\n", NULL, 2, 2, four, labels);
    holds("a,b,y\n\"1\",\"2\",\"p\"\n\"3\",\"4\",\"q\"\n", NULL, 2, 2, four, labels);
    holds("a,b,y\n 1 , 2 ,p\n 3,\t4\t,q\n", NULL, 2, 2, four, labels);
    holds("a;b;y\n1;2;p\n3;4;q\n", &(tw_csv_opts){.separator = ';'}, 2, 2, four, labels);
    holds("a\tb\ty\n1\t2\tp\n3\t4\tq\n", &(tw_csv_opts){.separator = '\t'}, 2, 2, four, labels);
    holds("a b y\n1 2 p\n3 4 q\n", &(tw_csv_opts){.separator = ' '}, 2, 2, four, labels);
    holds("1,2,p\n3,4,q\n", &(tw_csv_opts){.no_header = true}, 2, 2, four, labels);
    holds("1,2,p\n3,4,q\n", &(tw_csv_opts){.no_header = true, .label = "2", .columns = "1 0"}, 2, 2,
          (float[]){2, 1, 4, 3}, labels);
    holds("a\n1\n2", &(tw_csv_opts){.no_label = true}, 2, 1, four, NULL);
    holds("\"1\n,\"\"\",2,p\n\"\r\n\",4,q\n", &(tw_csv_opts){.no_header = true}, 2, 2,
          (float[]){0, 2, 1, 4}, labels);
}

static void takes_texts_apart(void **state) {
    (void)state;
    tw_dataset *dataset = opened("x,y\n1,\"a, b\"\n2,\"say \"\"hi\"\"\"\n3,\"two\nlines\"\n"
                                 "4,\"\"\"\"\n5,Z\xc3\xbcrich\n6, b\n",
                                 NULL);
    const char *names[] = {"a, b", "say \"hi\"", "two\nlines", "\"", "Z\xc3\xbcrich", " b"};
    for (int i = 0; i < 6; i++) assert_string_equal(tw_dataset_class(dataset, 1, i), names[i]);
    int64_t all[] = {5, 3, 1, 0, 2, 4};
    float x[6];
    int32_t y[6];
    assert_int_equal(tw_dataset_read(dataset, 6, all, (void *[]){x, y}), TW_OK);
    for (int i = 0; i < 6; i++) assert_true(y[i] == all[i] && x[i] == (float)(all[i] + 1));
    tw_dataset_free(dataset);
}

static void infers_types(void **state) {
    (void)state;
    const tw_csv_opts plain = {.no_label = true};
    /* Codes in order of first sight, also where a column looks like numbers for a while. */
    holds("a,b\nx,1\ny,2\nx,1\n", &plain, 3, 2, (float[]){0, 1, 1, 2, 0, 1}, NULL);
    holds("a,b\n7,x\n8,y\n7,x\nseven,y\n", &plain, 4, 2, (float[]){0, 0, 1, 1, 0, 0, 2, 1}, NULL);
    /* A missing text is a text of its own; " " and NA are the same one. */
    holds("a,b\n,1\nx,2\nNA,3\n  ,4\ny,5\n", &plain, 5, 2, (float[]){0, 1, 1, 2, 0, 3, 0, 4, 2, 5},
          NULL);
    holds("a\ninf\n-Infinity\n+INF\n1\n", &plain, 4, 1, (float[]){INFINITY, -INFINITY, INFINITY, 1},
          NULL);
    holds("a,b\n0x10,1\n1e,2\n1.2.3,3\n", &plain, 3, 2, (float[]){0, 1, 1, 2, 2, 3}, NULL);
}

static void fills_what_is_missing(void **state) {
    (void)state;
    const char *text = "a,b,y\n1,2,0\n,4,1\n3,?,0\nNaN,NA,1\n";
    holds(text, &(tw_csv_opts){.fill = -1}, 4, 2, (float[]){1, 2, -1, 4, 3, -1, -1, -1},
          (float[]){0, 1, 0, 1});
    holds(text, &(tw_csv_opts){.fill = TW_ZERO}, 4, 2, (float[]){1, 2, 0, 4, 3, 0, 0, 0},
          (float[]){0, 1, 0, 1});
    holds(text, &(tw_csv_opts){.fill_mean = true}, 4, 2, (float[]){1, 2, 2, 4, 3, 3, 2, 3},
          (float[]){0, 1, 0, 1});
    holds(text, &(tw_csv_opts){.fill = NAN}, 4, 2, (float[]){1, 2, NAN, 4, 3, NAN, NAN, NAN},
          (float[]){0, 1, 0, 1});
    holds("a,y\n-,0\n5,1\nnone,0\n", &(tw_csv_opts){.fill = 9, .missing = "- none"}, 3, 1,
          (float[]){9, 5, 9}, (float[]){0, 1, 0});
}

static void labels_as_asked(void **state) {
    (void)state;
    holds("y,a,b\n1,2,3\n0,5,6\n", &(tw_csv_opts){.label = "y"}, 2, 2, (float[]){2, 3, 5, 6},
          (float[]){1, 0});
    holds("y,a,b\n1,2,3\n0,5,6\n", &(tw_csv_opts){.label = "a", .columns = "b y"}, 2, 2,
          (float[]){3, 1, 6, 0}, (float[]){2, 5});
    holds("y,\"long name\",b\n1,2,3\n0,5,6\n",
          &(tw_csv_opts){.label = "y", .columns = "b \"long name\""}, 2, 2, (float[]){3, 2, 6, 5},
          (float[]){1, 0});
    holds("a,y\n1,2.5\n3,-1e3\n", &(tw_csv_opts){.regression = true}, 2, 1, (float[]){1, 3},
          (float[]){2.5f, -1000});
    /* Codes stay, so that several files agree; other spellings are numbered. */
    holds("a,y\n1,7\n3,2\n4,7\n", NULL, 3, 1, (float[]){1, 3, 4}, (float[]){7, 2, 7});
    holds("a,y\n1,-1\n3,1\n", NULL, 2, 1, (float[]){1, 3}, (float[]){0, 1});
    holds("a,y\n1,07\n3,1\n", NULL, 2, 1, (float[]){1, 3}, (float[]){0, 1});
    holds("a,y\n1,65536\n3,1\n", NULL, 2, 1, (float[]){1, 3}, (float[]){0, 1});
    tw_dataset *dataset = opened("a,y\n1,7\n3,2\n", NULL);
    assert_string_equal(tw_dataset_class(dataset, 1, 7), "7");
    assert_string_equal(tw_dataset_class(dataset, 1, 0), "0");
    assert_null(tw_dataset_class(dataset, 1, 8));
}

/* What is skipped may hold anything well-formed. */
static void skips_columns(void **state) {
    (void)state;
    holds("id,a,note,y\nx1,1,\"free, text\",0\nx2,2,,1\n", &(tw_csv_opts){.columns = "a"}, 2, 1,
          (float[]){1, 2}, (float[]){0, 1});
}

static void refuses(const char *text, const tw_csv_opts *opts, tw_status status, const char *part) {
    put(text);
    assert_null(tw_dataset_csv(context, path, opts));
    const char *message = tw_message(context);
    if (tw_last_status(context) != status || !strstr(message, path) || !strstr(message, part))
        fail_msg("%d %s; expected %d ...%s", tw_last_status(context), message, status, part);
}

static void refuses_bad_rows(void **state) {
    (void)state;
    const tw_status bad = TW_ERR_FORMAT;
    refuses("", NULL, bad, "it is empty; expected a header and rows");
    refuses("\xef\xbb\xbf\n\n", NULL, bad, "it is empty");
    refuses("a,b\n", NULL, bad, "a header and no rows");
    refuses("a,b", NULL, bad, "a header and no rows");
    refuses("a,b\n1,2\n1,2,3\n", NULL, bad, "row 2 (line 3): 3 fields; expected 2");
    refuses("a,b,c\n1,2,3\n\n1,2\n", NULL, bad, "row 2 (line 4): 2 fields; expected 3");
    refuses("a,b\n1\n", NULL, bad, "row 1 (line 2): 1 fields; expected 2");
    refuses("a,b\n\"1,2\n3,4\n", NULL, bad,
            "row 1 (line 2), column 'a': a quote that opens here is never closed");
    refuses("a,b\n\"1\"x,2\n", NULL, bad, "column 'a': text follows the closing quote");
    refuses("a,b\n1,p\n2,q\"\n", NULL, bad, "row 2 (line 3), column 'b': a quote inside a field");
    refuses("a,\"b\n1,2\n", NULL, bad, "header (line 1): a quote that opens here is never closed");
    refuses("\xff\xfe"
            "a",
            NULL, bad, "it is UTF-16");
    refuses("\x1f\x8b\x08", NULL, bad, "gzipped");
    put_bytes("a,b\n1,p\0q\n", 10);
    assert_null(tw_dataset_csv(context, path, NULL));
    assert_non_null(strstr(tw_message(context), "column 'b': a zero byte"));
}

static void refuses_bad_cells(void **state) {
    (void)state;
    const tw_status bad = TW_ERR_FORMAT;
    refuses("a,b,y\n1,2,0\n3,,1\n4,,0\n", NULL, bad,
            "row 2 (line 3), column 'b': the number is missing (2 are in this column)");
    refuses("a,y\n?,0\nNA,1\n", &(tw_csv_opts){.fill_mean = true}, bad,
            "row 1 (line 2), column 'a': every number is missing");
    refuses("a,y\n1,0\n2,\n", NULL, bad, "row 2 (line 3), column 'y': the label is missing");
    refuses("a,y\n1,0\n2,NA\n", &(tw_csv_opts){.regression = true, .fill = 1}, bad,
            "row 2 (line 3), column 'y': the label is missing");
    refuses("a,y\n1,0\n2,red\n", &(tw_csv_opts){.regression = true}, bad,
            "row 2 (line 3), column 'y': 'red' is no number");
    refuses("a,y\n1,0\n-1e39,1\n", NULL, bad, "column 'a': '-1e39' is larger than any f32");
}

static void refuses_bad_options(void **state) {
    (void)state;
    const tw_status bad = TW_ERR_ARGUMENT;
    const char *text = "a,b,b,y\n1,2,3,0\n";
    refuses(text, &(tw_csv_opts){.label = "z"}, TW_ERR_NOT_FOUND,
            "no column 'z'; it has 'a', 'b', 'b', 'y'");
    refuses(text, &(tw_csv_opts){.columns = "a q"}, TW_ERR_NOT_FOUND, "no column 'q'");
    refuses(text, &(tw_csv_opts){.columns = "b"}, bad, "two columns are called 'b', 1 and 2");
    refuses(text, &(tw_csv_opts){.columns = "a y"}, bad, "'y' is the label and a feature");
    refuses(text, &(tw_csv_opts){.columns = "a a"}, bad, "'a' is named twice");
    refuses(text, &(tw_csv_opts){.columns = " "}, bad, "no feature");
    refuses("a\n1\n", NULL, bad, "no feature: its only column is the label");
    refuses(text, &(tw_csv_opts){.separator = '.'}, bad, "the separator is '.'");
    refuses(text, &(tw_csv_opts){.separator = '"'}, bad, "the separator is '\"'");
    refuses(text, &(tw_csv_opts){.no_label = true, .label = "a"}, bad, "no_label with a label");
    refuses(text, &(tw_csv_opts){.no_label = true, .regression = true}, bad,
            "no_label with regression");
    refuses(text, &(tw_csv_opts){.fill = 2, .fill_mean = true}, bad, "both fill and fill_mean");
    assert_null(tw_dataset_csv(context, NULL, NULL));
    assert_int_equal(tw_last_status(context), TW_ERR_NULL);
    assert_null(tw_dataset_csv(context, "/nowhere/at/all.csv", NULL));
    assert_int_equal(tw_last_status(context), TW_ERR_NOT_FOUND);
    assert_null(tw_dataset_csv(context, "/tmp", NULL));
    assert_int_equal(tw_last_status(context), TW_ERR_IO);
}

static void says_what_changed(void **state) {
    (void)state;
    tw_dataset *dataset = opened("a,y\n1,p\n2,q\n", NULL);
    float x[2];
    int32_t y[2];
    put("a,y\n1,p\n2,z\n");
    assert_int_equal(tw_dataset_read(dataset, 2, (int64_t[]){0, 1}, (void *[]){x, y}),
                     TW_ERR_FORMAT);
    assert_non_null(strstr(tw_message(context), "row 2 (line 3), column 'y': not what it was"));
    tw_dataset_free(dataset);
    dataset = opened("a,y\n1,p\n2,q\n", NULL);
    put("a,y\n");
    assert_int_equal(tw_dataset_read(dataset, 1, (int64_t[]){0}, (void *[]){x, y}), TW_ERR_FORMAT);
    assert_non_null(strstr(tw_message(context), "has the file changed"));
    tw_dataset_free(dataset);
}

/* ---- numbers ---- */

static uint64_t drawn(uint64_t *counter) {
    uint32_t word[4];
    philox(7, (*counter)++, 0, word);
    return (uint64_t)word[0] << 32 | word[1];
}

/* Both ways against strtof, which the C library rounds correctly. */
static void agrees(const char *digits) {
    char text[400] = {0};
    snprintf(text, sizeof text - DECIMAL_PADDING, "%s", digits);
    float expected = strtof(text, NULL), exact, quick;
    decimal_kind kind = decimal_exact(text, text + strlen(text), &exact);
    assert_int_equal(kind, isinf(expected) ? DECIMAL_RANGE : DECIMAL_NUMBER);
    if (memcmp(&exact, &expected, sizeof exact))
        fail_msg("'%s': exactly %.9g, expected %.9g", text, (double)exact, (double)expected);
    double wide;
    text[strlen(text)] = '\n';
    const char *at = decimal_quick(text, &wide);
    if (!at || !decimal_round(wide, &quick)) return;
    assert_true(*at == '\n');
    if (memcmp(&quick, &expected, sizeof quick))
        fail_msg("'%s': quickly %.9g, expected %.9g", text, (double)quick, (double)expected);
}

static void rounds_numbers_correctly(void **state) {
    (void)state;
    const char *hard[] = {
        "0",
        "-0",
        "0.0e5",
        "16777217",
        "16777219",
        "33554434.999999999999999999",
        "1.00000005960464477539062500000000000000000000000000000000000000000000001",
        "1.000000059604644775390625",
        "3.4028235e38",
        "3.4028235677973366e38",
        "3.40282356e38",
        "1e-45",
        "7.0064923216240853e-46",
        "7.1e-46",
        "1.1754943508222875e-38",
        "1e400",
        "1e-400",
        "1e99999999999",
        "0.000000000000000000000000000000000000000000000000000001234e50",
        "123456789012345678901234567890",
        "99999999999999999999",
        "1e64",
        "1e-64",
        "18446744073709551615",
        "18446744073709551616",
        "0.1e-40",
        "00000000001"};
    for (size_t i = 0; i < sizeof hard / sizeof *hard; i++) agrees(hard[i]);
    uint64_t counter = 0;
    for (int i = 0; i < 200000; i++) {
        uint64_t word = drawn(&counter);
        uint32_t bits = (uint32_t)drawn(&counter);
        float number;
        char text[200];
        memcpy(&number, &bits, sizeof number);
        if (!isfinite(number)) continue;
        switch (word % 5) {
        case 0: snprintf(text, sizeof text, "%.9g", (double)number); break;
        case 1: snprintf(text, sizeof text, "%.17g", (double)number); break;
        case 2:
            snprintf(text, sizeof text, "%.*f", (int)(word >> 8) % 20, (double)bits / 1e6);
            break;
        case 3: { /* the middle between two f32, and just beside it */
            double middle =
                (double)number + ((double)nextafterf(number, INFINITY) - (double)number) / 2;
            if (isinf(middle)) continue;
            snprintf(text, sizeof text, "%.*g", 9 + (int)(word >> 8) % 120, middle);
            break;
        }
        default:
            snprintf(text, sizeof text, "%" PRIu64 ".%" PRIu64 "e%d", word >> (word >> 8) % 60,
                     drawn(&counter), (int)(bits % 100) - 60);
        }
        agrees(text);
    }
}

static void does_not_ask_the_locale(void **state) {
    (void)state;
    const char *locales[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", NULL};
    for (int i = 0; locales[i] && !setlocale(LC_NUMERIC, locales[i]); i++) {}
    /* The middle of two f32: the exact way. */
    holds("a\n1.5\n1.000000059604644775390625\n", &(tw_csv_opts){.no_label = true}, 2, 1,
          (float[]){1.5f, 1}, NULL);
    setlocale(LC_NUMERIC, "C");
}

/* Neither the index nor a block grows with them. */
static void passes_over_empty_lines(void **state) {
    (void)state;
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("a,y", file);
    for (int row = 0; row < 3; row++) {
        for (int i = 0; i < 300000; i++) fputs(row ? "\r\n" : "\n", file);
        fprintf(file, "%d,%d", row, 2 - row);
    }
    assert_int_equal(fclose(file), 0);
    tw_dataset *dataset = tw_dataset_csv(context, path, NULL);
    assert_int_equal(tw_dataset_count(dataset), 3);
    float x[3];
    int32_t y[3];
    assert_int_equal(tw_dataset_read(dataset, 3, (int64_t[]){2, 0, 1}, (void *[]){x, y}), TW_OK);
    assert_true(x[0] == 2 && x[1] == 0 && x[2] == 1 && y[0] == 0 && y[1] == 2 && y[2] == 1);
}

/* ---- against a simple reader ---- */

enum { WIDE = 5 };

static void add_field(FILE *file, uint64_t word, int column, char *kept) {
    if (column < 3) {
        int whole = (int)(word >> 8 & 0xffff) - 30000;
        snprintf(kept, 32, "%d.%03d", whole, (int)(word >> 40) % 1000);
        fprintf(file, word & 1 ? "\"%s\"" : "%s", kept);
    } else {
        const char *texts[] = {"plain",         "with, comma", "with \"quotes\"",
                               "with\nnewline", "x",           "\r\n"};
        snprintf(kept, 32, "%s", texts[(word >> 8) % 6]);
        fputc('"', file);
        for (const char *at = kept; *at; at++) fprintf(file, *at == '"' ? "\"\"" : "%c", *at);
        fputc('"', file);
    }
}

/* Files of `rows` rows drawn from a seed; what was written is what is read, in order, in any order
 * and twice. */
static void round_trip(uint64_t seed, int64_t rows, int pad) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    uint64_t counter = seed << 32;
    char(*kept)[WIDE][32] = calloc((size_t)rows, sizeof *kept);
    assert_non_null(kept);
    fprintf(file, "a,b,c,d,pad,y\n");
    for (int64_t row = 0; row < rows; row++) {
        for (int i = 0; i < WIDE; i++) {
            if (i == 4) fprintf(file, "%*d,", pad, 1);
            add_field(file, drawn(&counter), i, kept[row][i]);
            if (i < 4) fputc(',', file);
        }
        if (row + 1 < rows || seed % 2) fputs(drawn(&counter) & 1 ? "\r\n" : "\n", file);
        if (drawn(&counter) % 100 == 0) fputs("\n\n", file);
    }
    assert_int_equal(fclose(file), 0);
    tw_dataset *dataset = tw_dataset_csv(context, path, &(tw_csv_opts){.columns = "d a b c"});
    if (!dataset) fail_msg("seed %" PRIu64 ": %s", seed, tw_message(context));
    assert_int_equal(tw_dataset_count(dataset), rows);
    char texts[6][32];
    int known = 0;
    float *codes = calloc((size_t)rows, sizeof *codes);
    for (int64_t row = 0; row < rows; row++) {
        int code = 0;
        while (code < known && strcmp(texts[code], kept[row][3])) code++;
        if (code == known) strcpy(texts[known++], kept[row][3]);
        codes[row] = (float)code;
    }
    int64_t index[64];
    float x[64][4];
    int32_t y[64];
    for (int64_t i = 0; i < 2 * rows; i += 64) {
        int n = (int)(2 * rows - i < 64 ? 2 * rows - i : 64);
        for (int k = 0; k < n; k++)
            index[k] = i + k < rows ? i + k : (int64_t)(drawn(&counter) % (uint64_t)rows);
        if (tw_dataset_read(dataset, n, index, (void *[]){x, y}))
            fail_msg("%s", tw_message(context));
        for (int k = 0; k < n; k++) {
            assert_true(x[k][0] == codes[index[k]]);
            for (int c = 0; c < 3; c++) assert_true(x[k][1 + c] == strtof(kept[index[k]][c], NULL));
            assert_string_equal(tw_dataset_class(dataset, 1, y[k]), kept[index[k]][4]);
        }
    }
    tw_dataset_free(dataset);
    free(codes);
    free(kept);
}

static void reads_in_any_order(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) round_trip(seed, (int64_t)(1 + seed * 7 % 40), 1);
    round_trip(100, 1023, 1);
    round_trip(101, 1024, 1);
    round_trip(102, 1025, 1);
    round_trip(103, 5000, 1);
    round_trip(104, 3000, 200);  /* blocks end by bytes */
    round_trip(105, 40, 100000); /* rows longer than a block, a file of many windows */
    round_trip(106, 3, 3000000); /* rows longer than a window */
}

static void refuses_endless_rows(void **state) {
    (void)state;
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("a,b\n1,\"", file);
    for (int i = 0; i < 20 << 16; i++) fputs("0123456\n01234567", file);
    assert_int_equal(fclose(file), 0);
    assert_null(tw_dataset_csv(context, path, NULL));
    assert_int_equal(tw_last_status(context), TW_ERR_FORMAT);
    assert_non_null(strstr(tw_message(context), "row 1 (line 2): longer than 16 MB"));
}

/* ---- damage ---- */

/* What was opened can be read, whatever a file holds; what cannot be opened has a message. */
static void survives_damage(void **state) {
    (void)state;
    const char good[] =
        "a,b,\"c \"\"d\"\"\",y\r\n1,-2.5e3,\"x, y\",red\r\n,NA,\"two\nlines\",blue\n"
        "\"7\", 8 ,plain,\"red\"\n\n+.5,1e-40,16777217,green";
    const char bytes[] = "\",\n\r\n,\"0123456789.eE+- x\0\xff;";
    uint64_t counter = 1000000;
    int opened_ones = 0;
    for (int i = 0; i < 4000; i++) {
        char text[sizeof good];
        size_t length = sizeof good - 1;
        memcpy(text, good, sizeof good);
        for (uint64_t n = drawn(&counter) % 4 + 1; n > 0; n--) {
            uint64_t word = drawn(&counter);
            size_t at = (size_t)(word >> 32) % length;
            if (word % 8 == 0 && length > 20) {
                memmove(text + at, text + at + 1, length - at - 1);
                length--;
            } else if (word % 64 == 1) {
                length = at + 1;
            } else {
                text[at] = bytes[(word >> 8) % (sizeof bytes - 1)];
            }
        }
        assert_int_equal(unlink(path), 0); /* some file systems write a changed file out at once */
        put_bytes(text, length);
        tw_csv_opts opts = {.fill_mean = i % 2, .no_header = i % 3 == 0, .no_label = i % 5 == 0};
        tw_dataset *dataset = tw_dataset_csv(context, path, &opts);
        if (!dataset) {
            assert_non_null(strstr(tw_message(context), path));
            continue;
        }
        opened_ones++;
        for (int64_t row = tw_dataset_count(dataset) - 1; row >= 0; row--) {
            float x[64];
            int32_t y;
            assert_true(tw_dataset_type(dataset, 0).shape.dim[0] <= 64);
            if (tw_dataset_read(dataset, 1, &row, (void *[]){x, &y}))
                fail_msg("%.*s\n%s", (int)length, text, tw_message(context));
        }
        tw_dataset_free(dataset);
    }
    assert_true(opened_ones > 200);
}

/* ---- memory that runs out ---- */

static int64_t calls_left, blocks_held;

static void *fail_in_time(void *user, void *old, size_t bytes) {
    (void)user;
    if (bytes && calls_left-- <= 0) return NULL;
    blocks_held += (old ? 0 : bytes > 0) - (old && !bytes);
    if (bytes) return realloc(old, bytes);
    free(old);
    return NULL;
}

/* The first allocation fails, the second, ...: an error each time, and nothing is lost. */
static void says_when_memory_is_out(void **state) {
    (void)state;
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("a,b,c,y\n", file);
    for (int i = 0; i < 3000; i++)
        fprintf(file, "%d,\"t\"\"%d\",%s%d,c%d\n", i, i % 70, i >= 2000 ? "x" : "", i % 5, i % 3);
    assert_int_equal(fclose(file), 0);
    bool good = false;
    for (int64_t n = 0; !good; n++) {
        calls_left = INT64_MAX;
        tw_context *small = tw_context_new(&(tw_context_opts){.allocate = fail_in_time});
        assert_non_null(small);
        calls_left = n;
        tw_dataset *dataset = tw_dataset_csv(small, path, NULL);
        good = dataset != NULL;
        if (!good) assert_int_equal(tw_last_status(small), TW_ERR_MEMORY);
        tw_dataset_free(dataset);
        tw_context_free(small);
        assert_int_equal(blocks_held, 0);
        assert_true(good || n < 500);
    }
}

/* A column of numbers with one text in it, wherever it stands, is a misprint; one with more is not. */
static void a_misprint_among_numbers_is_refused(void **state) {
    (void)state;
    for (int texts = 1; texts <= 2; texts++)
        for (int bad = 0; bad < 20; bad += 19) {
            char text[512] = "a,b\n";
            for (int i = 0; i < 20; i++)
                strcat(text, (texts == 1 ? i == bad : i % 9 == bad % 9) ? "l0,1\n" : "10,1\n");
            put(text);
            tw_dataset *dataset = tw_dataset_csv(context, path, NULL);
            char expected[256];
            snprintf(expected, sizeof expected,
                     "row %d (line %d), column 'a': 'l0' is no number, and 19 other fields of the "
                     "column are; expected a number in every row: correct it, or name it in "
                     "tw_csv_opts.missing",
                     bad + 1, bad + 2);
            if (texts == 1) assert_non_null(strstr(tw_message(context), expected));
            assert_int_equal(dataset != NULL, texts == 2);
            tw_dataset_free(dataset);
        }
    tw_csv_opts missing = {.missing = "l0", .fill_mean = true};
    tw_dataset_free(opened("a,b\nl0,1\n1,1\n2,1\n", &missing));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_misprint_among_numbers_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(reads_numbers_and_classes, begin, end),
        cmocka_unit_test_setup_teardown(knows_the_format, begin, end),
        cmocka_unit_test_setup_teardown(takes_texts_apart, begin, end),
        cmocka_unit_test_setup_teardown(infers_types, begin, end),
        cmocka_unit_test_setup_teardown(fills_what_is_missing, begin, end),
        cmocka_unit_test_setup_teardown(labels_as_asked, begin, end),
        cmocka_unit_test_setup_teardown(skips_columns, begin, end),
        cmocka_unit_test_setup_teardown(refuses_bad_rows, begin, end),
        cmocka_unit_test_setup_teardown(refuses_bad_cells, begin, end),
        cmocka_unit_test_setup_teardown(refuses_bad_options, begin, end),
        cmocka_unit_test_setup_teardown(says_what_changed, begin, end),
        cmocka_unit_test_setup_teardown(rounds_numbers_correctly, begin, end),
        cmocka_unit_test_setup_teardown(does_not_ask_the_locale, begin, end),
        cmocka_unit_test_setup_teardown(passes_over_empty_lines, begin, end),
        cmocka_unit_test_setup_teardown(reads_in_any_order, begin, end),
        cmocka_unit_test_setup_teardown(refuses_endless_rows, begin, end),
        cmocka_unit_test_setup_teardown(survives_damage, begin, end),
        cmocka_unit_test_setup_teardown(says_when_memory_is_out, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
