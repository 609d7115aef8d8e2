/* Event files: the bytes of TensorBoard's own writer (scripts/golden_events.py), and refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/log.h>
#include <unistd.h>

#include "io/events.h"

static void sums(void **state) {
    (void)state;
    /* RFC 3720, B.4 */
    unsigned char zeros[32] = {0}, rising[32];
    for (int i = 0; i < 32; i++) rising[i] = (unsigned char)i;
    assert_int_equal(events_crc32c(zeros, 32), 0x8a9136aa);
    assert_int_equal(events_crc32c(rising, 32), 0x46dd794e);
    assert_int_equal(events_crc32c("123456789", 9), 0xe3069283);
}

static void same_bytes_as_tensorboard(void **state) {
    (void)state;
    unsigned char there[4096], here[5 * EVENTS_RECORD];
    char tag[201];
    FILE *file = fopen("tests/golden/events.tfevents", "rb");
    assert_non_null(file);
    size_t length = fread(there, 1, sizeof there, file), n = 0;
    fclose(file);
    memset(tag, 'a', 200);
    tag[200] = '\0';
    n += events_version(here + n, 1.5);
    n += events_scalar(here + n, 2.5, 0, "loss/train", 0.5f);
    n += events_scalar(here + n, 3.25, 1, "loss/train", -1.75f);
    n += events_scalar(here + n, 1e9 + 0.125, 300, "größe", 1e-3f);
    n += events_scalar(here + n, 1700000000.5, INT64_C(1) << 40, tag, INFINITY);
    assert_int_equal(n, length);
    assert_memory_equal(here, there, n);
}

/* The one event file of a folder, removed after reading; its length. */
static size_t take_file(const char *folder, unsigned char *out, size_t capacity) {
    char path[512] = "";
    DIR *list = opendir(folder);
    assert_non_null(list);
    for (const struct dirent *entry; (entry = readdir(list));)
        if (strstr(entry->d_name, "tfevents"))
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    closedir(list);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t length = fread(out, 1, capacity, file);
    fclose(file);
    assert_int_equal(unlink(path), 0);
    return length;
}

static void writes_a_file(void **state) {
    (void)state;
    char folder[] = "/tmp/thalweg-events-XXXXXX";
    unsigned char bytes[4096], expected[EVENTS_RECORD];
    assert_non_null(mkdtemp(folder));
    tw_context *context = tw_context_new(NULL);
    tw_event_log *log = tw_event_log_new(context, folder);
    assert_non_null(log);
    assert_int_equal(tw_event_log_scalar(log, "loss", 7, 0.25), TW_OK);
    assert_int_equal(tw_event_log_scalar(log, "", 7, 0.25), TW_ERR_ARGUMENT);
    assert_int_equal(tw_event_log_scalar(log, NULL, 7, 0.25), TW_ERR_ARGUMENT);
    assert_int_equal(tw_event_log_flush(log), TW_OK);
    size_t length = take_file(folder, bytes, sizeof bytes);
    size_t first = events_version(expected, 0);
    assert_int_equal(length, first + events_scalar(expected, 0, 7, "loss", 0.25f));
    /* Time apart: 9 bytes after the frame's head and its sums. */
    assert_memory_equal(bytes + first + 12 + 9, expected + 12 + 9, length - first - 12 - 9 - 4);
    tw_event_log_free(log);
    assert_null(tw_event_log_new(context, "/nowhere/at/all"));
    assert_int_equal(tw_last_status(context), TW_ERR_IO);
    tw_context_free(context);
    assert_int_equal(rmdir(folder), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums),
        cmocka_unit_test(same_bytes_as_tensorboard),
        cmocka_unit_test(writes_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
