/*
 * Machine code: kernels from text, what is refused, and the objects on disk: used, damaged, shared by
 * processes, limited. That an object was taken from disk shows when another one is put in its place.
 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <thalweg/thalweg.h>

#include "codegen/machine_code.h"
#include "codegen/object_cache.h"
#include "codegen/object_code.h"

enum { LANES = 16, TEXT = 4096, PATH = 1024, MOST_OBJECT = 1 << 16 };
typedef void (*kernel)(float *arguments, int64_t begin, int64_t end);

static char scratch[PATH];

static int setup(void **state) {
    (void)state;
    const char *folder = getenv("TMPDIR");
    snprintf(scratch, sizeof scratch, "%s/machine_code.XXXXXX", folder ? folder : "/tmp");
    return mkdtemp(scratch) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    char command[PATH + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    return system(command);
}

/* A folder of its own for each test. */
static const char *cache_named(const char *name) {
    static char path[2 * PATH];
    snprintf(path, sizeof path, "%s/%s", scratch, name);
    return path;
}

static tw_context *context_with(const char *cache) {
    tw_context *context = tw_context_new(&(tw_context_opts){.threads = 1, .cache = cache});
    assert_non_null(context);
    return context;
}

#define NEEDS_COMPILER()                                                                           \
    do {                                                                                           \
        tw_context *asked = context_with("");                                                      \
        bool none = !machine_target_of(asked);                                                     \
        tw_context_free(asked);                                                                    \
        if (none) skip();                                                                          \
    } while (0)

/* A module around the body of @kernel. */
static const char *module_of(char *out, tw_context *context, const char *body, const char *rest) {
    const machine_target *target = machine_target_of(context);
    int length = snprintf(out, TEXT,
                          "%sdefine void @kernel(ptr %%a, i64 %%begin, i64 %%end) #0 {\n%s"
                          "  ret void\n}\n%s\nattributes #0 = { %s }\n",
                          target->preamble, body, rest, target->attributes);
    assert_in_range(length, 1, TEXT - 1);
    return out;
}

/* arguments[i] += i + first: the numbers are in the object's constants. */
static const char *adds(char *out, tw_context *context, int first) {
    char body[TEXT];
    size_t length = (size_t)snprintf(
        body, sizeof body,
        "  %%x = load <16 x float>, ptr %%a, align 4\n  %%y = fadd <16 x float> %%x, <");
    for (int i = 0; i < LANES; i++)
        length += (size_t)snprintf(body + length, sizeof body - length, "%sfloat %d.0",
                                   i ? ", " : "", first + i);
    snprintf(body + length, sizeof body - length,
             ">\n  store <16 x float> %%y, ptr %%a, align 4\n");
    return module_of(out, context, body, "");
}

static kernel one(tw_context *context, const char *ir) {
    void *code = NULL;
    kernel out;
    assert_int_equal(machine_code_get(context, 1, &ir, &code), TW_OK);
    memcpy(&out, &code, sizeof out);
    return out;
}

/* What the kernel of adds(first) adds to its first number. */
static int first_of(kernel k) {
    float numbers[LANES] = {0};
    assert_non_null(k);
    k(numbers, 0, 1);
    for (int i = 1; i < LANES; i++) assert_true(numbers[i] == numbers[0] + (float)i);
    return (int)numbers[0];
}

static int get_first(const char *cache, int first) {
    char ir[TEXT];
    tw_context *context = context_with(cache);
    int got = first_of(one(context, adds(ir, context, first)));
    tw_context_free(context);
    return got;
}

/* ---- code ---- */

static void test_runs(void **state) {
    (void)state;
    NEEDS_COMPILER();
    for (int vectors = 16; vectors <= 64; vectors *= 2) {
        char ir[TEXT];
        tw_context *context =
            tw_context_new(&(tw_context_opts){.threads = 1, .cache = "", .vectors = vectors});
        const machine_target *target = machine_target_of(context);
        assert_non_null(target);
        assert_true(target->vector_bytes <= vectors);
        assert_int_equal(first_of(one(context, adds(ir, context, vectors))), vectors);
        tw_context_free(context);
    }
}

static void test_calls_memset(void **state) {
    (void)state;
    NEEDS_COMPILER();
    char ir[TEXT];
    tw_context *context = context_with("");
    unsigned char bytes[8] = {0};
    kernel k =
        one(context, module_of(ir, context,
                               "  call void @llvm.memset.p0.i64(ptr %a, i8 7, i64 %end, i1 0)\n",
                               "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)"));
    assert_non_null(k);
    k((void *)bytes, 0, 5);
    for (int i = 0; i < 8; i++) assert_int_equal(bytes[i], i < 5 ? 7 : 0);
    tw_context_free(context);
}

static void test_many_at_once(void **state) {
    (void)state;
    NEEDS_COMPILER();
    enum { MANY = 12 };
    static char text[MANY][TEXT];
    const char *ir[MANY + 2];
    void *code[MANY + 2];
    tw_context *context = tw_context_new(&(tw_context_opts){.threads = 3, .cache = ""});
    for (int i = 0; i < MANY; i++) ir[i] = adds(text[i], context, i);
    ir[MANY] = NULL; /* as a fusion that has no text */
    ir[MANY + 1] = ir[3];
    assert_int_equal(machine_code_get(context, MANY + 2, ir, code), TW_OK);
    assert_null(code[MANY]);
    assert_ptr_equal(code[MANY + 1], code[3]);
    for (int i = 0; i < MANY; i++) {
        kernel k;
        memcpy(&k, &code[i], sizeof k);
        assert_int_equal(first_of(k), i);
        assert_ptr_equal(one(context, ir[i]), k); /* the context's own table */
    }
    tw_context_free(context);
}

static void test_options(void **state) {
    (void)state;
    tw_context *context = tw_context_new(&(tw_context_opts){.no_codegen = true});
    assert_null(machine_target_of(context));
    tw_context_free(context);
    context = tw_context_new(&(tw_context_opts){.vectors = 8});
    assert_null(machine_target_of(context));
    tw_context_free(context);
}

/* ---- what is refused ---- */

/* Nothing may be written to stderr meanwhile: it is a file, which is empty in the end. */
typedef struct silence {
    int kept;
    char path[2 * PATH];
} silence;

static void silence_begin(silence *s) {
    snprintf(s->path, sizeof s->path, "%s/stderr", scratch);
    fflush(stderr);
    s->kept = dup(2);
    int file = open(s->path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    assert_true(s->kept >= 0 && file >= 0 && dup2(file, 2) == 2);
    close(file);
}

static long silence_end(silence *s) {
    struct stat about;
    fflush(stderr);
    assert_int_equal(dup2(s->kept, 2), 2);
    close(s->kept);
    assert_int_equal(stat(s->path, &about), 0);
    return (long)about.st_size;
}

static void check_refused(const char *ir) {
    char good[TEXT];
    tw_context *context = context_with("");
    const char *both[2] = {ir, adds(good, context, 1)};
    void *code[2];
    silence quiet;
    silence_begin(&quiet);
    tw_status status = machine_code_get(context, 2, both, code);
    long written = silence_end(&quiet);
    if (code[0]) fail_msg("there is code for: %s", ir);
    assert_int_equal(status, TW_OK);
    assert_int_equal(written, 0);
    assert_string_equal(tw_message(context), "");
    kernel k;
    memcpy(&k, &code[1], sizeof k);
    assert_int_equal(first_of(k), 1);
    tw_context_free(context);
}

static void test_refusals(void **state) {
    (void)state;
    NEEDS_COMPILER();
    char ir[TEXT];
    tw_context *context = context_with("");
    check_refused("");
    check_refused("no module at all");
    check_refused("target triple = \"martian-unknown-none\"\ndefine void @kernel() { ret void }\n");
    check_refused(module_of(ir, context, "  %x = fadd float %begin, 1.0\n", ""));
    check_refused(module_of(ir, context, "  %x = add i64 %y, 1\n  %y = add i64 %x, 1\n", ""));
    check_refused(module_of(ir, context, "  call void @exit(i32 1)\n", "declare void @exit(i32)"));
    check_refused(module_of(ir, context, "  store i32 1, ptr @state\n", "@state = global i32 0"));
    check_refused(module_of(ir, context, "  store i32 1, ptr @state\n", "@state = global i32 7"));
    adds(ir, context, 1);
    memcpy(strstr(ir, "@kernel"), "@colnel", 7);
    check_refused(ir);
    tw_context_free(context);
}

/* Where LLVM would end the process. What it held is lost, which the leak checker would report. */
static void test_survives_fatal_errors(void **state) {
    (void)state;
    NEEDS_COMPILER();
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip();
#else
    check_refused(
        "target triple = \"x86_64-pc-linux-gnu\"\n"
        "define void @kernel(ptr %a, i64 %begin, i64 %end) {\n"
        "  %x = load <16 x float>, ptr %a, align 4\n"
        "  %y = call <16 x float> @llvm.x86.avx512.rsqrt14.ps.512(<16 x float> %x, <16 x float> "
        "%x, "
        "i16 -1)\n"
        "  store <16 x float> %y, ptr %a, align 4\n  ret void\n}\n"
        "declare <16 x float> @llvm.x86.avx512.rsqrt14.ps.512(<16 x float>, <16 x float>, i16)\n");
#endif
}

/* ---- objects on disk ---- */

/* Paths of the objects of a cache, up to `most`, and how many there are. */
static int objects_of(const char *cache, int most, char (*out)[3 * PATH]) {
    char folder[2 * PATH + 16];
    snprintf(folder, sizeof folder, "%s/objects", cache);
    DIR *open = opendir(folder);
    int count = 0;
    if (!open) return 0;
    for (const struct dirent *it; (it = readdir(open));) {
        if (it->d_name[0] == '.') continue;
        if (count < most) snprintf(out[count], 3 * PATH, "%s/%s", folder, it->d_name);
        count++;
    }
    closedir(open);
    return count;
}

static size_t read_file(const char *path, unsigned char *out) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(out, 1, MOST_OBJECT, file);
    fclose(file);
    return size;
}

static void write_file(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static object_key key_in(const char *path) {
    unsigned long long high, low;
    assert_int_equal(sscanf(strrchr(path, '/') + 1, "%16llx%16llx", &high, &low), 2);
    return (object_key){.low = low, .high = high};
}

static void test_taken_from_disk(void **state) {
    (void)state;
    NEEDS_COMPILER();
    char path[2][3 * PATH], ir[TEXT];
    const char *cache = cache_named("taken");
    assert_int_equal(get_first(cache, 10), 10);
    assert_int_equal(objects_of(cache, 1, path), 1);
    object_key ten = key_in(path[0]);
    assert_int_equal(get_first(cache, 20), 20);
    assert_int_equal(objects_of(cache, 2, path), 2);
    object_key twenty = key_in(path[0]);
    if (twenty.low == ten.low) twenty = key_in(path[1]);

    /* Twenty's object under ten's name: who asks for ten gets it. */
    tw_context *context = context_with(cache);
    char *folder = object_cache_folder(context);
    size_t bytes;
    void *object = object_cache_read(context, folder, twenty, &bytes);
    assert_non_null(object);
    object_cache_write(folder, ten, object, bytes);
    assert_int_equal(first_of(one(context, adds(ir, context, 10))), 20);
    tw_string_free(context, folder);
    tw_string_free(context, object);
    tw_context_free(context);

    /* Other vectors, other code. */
    context = tw_context_new(&(tw_context_opts){.cache = cache, .vectors = 16});
    assert_int_equal(first_of(one(context, adds(ir, context, 10))), 10);
    tw_context_free(context);
}

/* The file is not used, and the right one is there again afterwards. */
static void check_replaced(const char *cache, const char *path, const void *bad, size_t size) {
    static unsigned char before[MOST_OBJECT], after[MOST_OBJECT];
    size_t bytes = read_file(path, before);
    write_file(path, bad, size);
    assert_int_equal(get_first(cache, 10), 10);
    assert_int_equal(read_file(path, after), bytes);
    assert_memory_equal(before, after, bytes);
    assert_int_equal(objects_of(cache, 0, NULL), 1);
}

static void test_damaged(void **state) {
    (void)state;
    NEEDS_COMPILER();
    static unsigned char file[MOST_OBJECT];
    char path[1][3 * PATH];
    const char *cache = cache_named("damaged");
    assert_int_equal(get_first(cache, 10), 10);
    assert_int_equal(objects_of(cache, 1, path), 1);
    size_t size = read_file(path[0], file);
    check_replaced(cache, path[0], "", 0);
    check_replaced(cache, path[0], "#!/bin/sh\n", 10);
    check_replaced(cache, path[0], file, size / 2);
    check_replaced(cache, path[0], file, size - 1);
    for (size_t at = 0; at < size; at += at < 64 ? 5 : 97) {
        file[at] ^= 0x10;
        check_replaced(cache, path[0], file, size);
        file[at] ^= 0x10;
    }
}

/* A good file under the name of another. */
static void test_wrong_name(void **state) {
    (void)state;
    NEEDS_COMPILER();
    static unsigned char file[MOST_OBJECT];
    char path[1][3 * PATH], other[1][3 * PATH];
    char cache[2 * PATH];
    strcpy(cache, cache_named("named"));
    assert_int_equal(get_first(cache, 10), 10);
    assert_int_equal(get_first(cache_named("other"), 20), 20);
    assert_int_equal(objects_of(cache, 1, path), 1);
    assert_int_equal(objects_of(cache_named("other"), 1, other), 1);
    check_replaced(cache, path[0], file, read_file(other[0], file));
}

static void test_no_cache(void **state) {
    (void)state;
    NEEDS_COMPILER();
    assert_int_equal(get_first("", 3), 3);
    assert_int_equal(get_first("/proc/nowhere", 4), 4);
    assert_int_equal(get_first("/dev/null", 5), 5);
}

static void check_folder(const char *wanted) {
    tw_context *context = context_with(NULL);
    char *folder = object_cache_folder(context);
    if (wanted)
        assert_string_equal(folder, wanted);
    else
        assert_null(folder);
    tw_string_free(context, folder);
    tw_context_free(context);
}

static void test_folders(void **state) {
    (void)state;
    setenv("THALWEG_CACHE", "/one", 1);
    setenv("XDG_CACHE_HOME", "/two", 1);
    setenv("HOME", "/three", 1);
    check_folder("/one/objects");
    setenv("THALWEG_CACHE", "", 1);
    check_folder(NULL);
    unsetenv("THALWEG_CACHE");
    check_folder("/two/thalweg/objects");
    unsetenv("XDG_CACHE_HOME");
    check_folder("/three/.cache/thalweg/objects");
    unsetenv("HOME");
    check_folder(NULL);
}

/* In a process of its own, where no assertion can be: 0 when all kernels are right. */
static int compile_some(const char *cache, int kernels) {
    tw_context *context = tw_context_new(&(tw_context_opts){.threads = 1, .cache = cache});
    int bad = !context;
    for (int i = 0; i < kernels && context; i++) {
        char text[TEXT];
        float numbers[LANES] = {0};
        const char *ir = adds(text, context, 100 + i);
        void *code = NULL;
        kernel k;
        if (machine_code_get(context, 1, &ir, &code) || !code) return 1;
        memcpy(&k, &code, sizeof k);
        k(numbers, 0, 1);
        bad += numbers[LANES - 1] != (float)(100 + i + LANES - 1);
    }
    tw_context_free(context);
    return bad;
}

static void test_processes(void **state) {
    (void)state;
    NEEDS_COMPILER();
    enum { PROCESSES = 4, KERNELS = 6 };
    const char *cache = cache_named("processes");
    pid_t child[PROCESSES];
    for (int p = 0; p < PROCESSES; p++) {
        child[p] = fork();
        assert_true(child[p] >= 0);
        if (!child[p]) _exit(compile_some(cache, KERNELS));
    }
    for (int p = 0; p < PROCESSES; p++) {
        int status;
        assert_int_equal(waitpid(child[p], &status, 0), child[p]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(objects_of(cache, 0, NULL), KERNELS);
}

static void test_limit(void **state) {
    (void)state;
    enum { FILES = 5, BYTES = 10000 };
    static unsigned char data[BYTES];
    char cache[2 * PATH], path[PATH * 4];
    strcpy(cache, cache_named("limit"));
    tw_context *context = context_with(cache);
    char *folder = object_cache_folder(context);
    for (uint64_t i = 0; i < FILES; i++) {
        object_cache_write(folder, (object_key){.low = i}, data, BYTES);
        snprintf(path, sizeof path, "%s/%016llx%016llx.twobj", folder, 0ULL, (unsigned long long)i);
        const struct timespec age[2] = {{.tv_sec = 1000 + (time_t)i}, {.tv_sec = 1000 + (time_t)i}};
        assert_int_equal(utimensat(AT_FDCWD, path, age, 0), 0);
    }
    size_t bytes;
    void *object =
        object_cache_read(context, folder, (object_key){.low = 0}, &bytes); /* now it is new */
    assert_non_null(object);
    tw_string_free(context, object);
    object_cache_trim(context, folder, (uint64_t)FILES * 16384);
    assert_int_equal(objects_of(cache, 0, NULL), FILES);
    object_cache_trim(context, folder, 2 * 16384);
    assert_int_equal(objects_of(cache, 0, NULL), 2);
    for (uint64_t i = 0; i < FILES; i++) {
        object = object_cache_read(context, folder, (object_key){.low = i}, &bytes);
        assert_int_equal(object != NULL, i == 0 || i == FILES - 1);
        tw_string_free(context, object);
    }
    tw_string_free(context, folder);
    tw_context_free(context);
}

/* ---- the loader ---- */

/* An object of which one byte is another, or the end is missing, loads or does not. */
static void test_loader_survives(void **state) {
    (void)state;
    NEEDS_COMPILER();
    char path[1][3 * PATH];
    const char *cache = cache_named("loader");
    assert_int_equal(get_first(cache, 10), 10);
    assert_int_equal(objects_of(cache, 1, path), 1);
    tw_context *context = context_with(cache);
    char *folder = object_cache_folder(context);
    size_t bytes;
    unsigned char *object = object_cache_read(context, folder, key_in(path[0]), &bytes);
    assert_non_null(object);
    object_code code;
    assert_true(object_code_load(object, bytes, &code));
    object_code_free(&code);
    for (size_t at = 0; at < bytes; at++)
        for (int flip = 1; flip < 256; flip = flip == 1 ? 0x80 : flip == 0x80 ? 0xff : 256) {
            object[at] ^= (unsigned char)flip;
            if (object_code_load(object, bytes, &code)) object_code_free(&code);
            object[at] ^= (unsigned char)flip;
        }
    for (size_t size = 0; size < bytes; size++) {
        unsigned char *part = malloc(size + 1); /* of its own size, for the address sanitizer */
        assert_non_null(part);
        memcpy(part, object, size);
        assert_false(object_code_load(part, size, &code));
        free(part);
    }
    tw_string_free(context, (char *)object);
    tw_string_free(context, folder);
    tw_context_free(context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_calls_memset),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_survives_fatal_errors),
        cmocka_unit_test(test_taken_from_disk),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_wrong_name),
        cmocka_unit_test(test_no_cache),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_loader_survives),
        cmocka_unit_test(test_processes), /* before there are threads: they don't survive a fork */
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_folders),
    };
    return cmocka_run_group_tests_name("machine_code", tests, setup, teardown);
}
