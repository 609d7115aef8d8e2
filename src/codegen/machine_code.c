/* From text to code: the context's table, then the objects on disk, then the compiler. */
#define _GNU_SOURCE 1 /* dladdr */
#include "codegen/machine_code.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/number.h"
#include "base/parallel.h"
#include "base/vector.h"
#include "codegen/llvm/plugin.h"
#include "codegen/object_cache.h"
#include "codegen/object_code.h"

#ifndef THALWEG_LLVM_PLUGIN
#define THALWEG_LLVM_PLUGIN ""
#define THALWEG_LLVM_VERSION ""
#define THALWEG_LIBRARY_FOLDER ""
#define THALWEG_INSTALLED_FOLDER ""
#endif

/* A look at all files takes a while when they are many: one new object in so many is followed by it. */
enum { MOST_CACHED = 256 << 20, TRIM_EVERY = 32, PATH = 4096 };

typedef struct known {
    object_key key;
    object_code code; /* its kernel is NULL where it could not be had */
} known;

typedef struct machine_codes {
    VECTOR(known) known;
    char *folder;              /* of objects; NULL for none */
    const llvm_plugin *plugin; /* NULL until something has to be compiled */
    bool no_plugin;            /* it was looked for */
} machine_codes;

static void machine_code_free(tw_context *context) {
    machine_codes *codes = context->machine_code;
    for (size_t i = 0; i < codes->known.count; i++) object_code_free(&codes->known.at[i].code);
    VECTOR_FREE(context, &codes->known);
    context_release(context, codes->folder);
    context_release(context, codes);
}

static machine_codes *codes_of(tw_context *context) {
    if (context->machine_code) return context->machine_code;
    machine_codes *codes = context_allocate(context, 1, sizeof *codes);
    if (!codes) return NULL;
    codes->folder = object_cache_folder(context);
    context->machine_code = codes;
    context->machine_code_free = machine_code_free;
    return codes;
}

/* ---- the compiler ---- */

static const llvm_plugin *open_plugin(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    llvm_plugin_entry entry;
    if (!library) return NULL;
    void *symbol = dlsym(library, LLVM_PLUGIN_SYMBOL);
    memcpy(&entry, &symbol, sizeof entry); /* ISO C has no cast for this */
    const llvm_plugin *plugin = symbol ? entry() : NULL;
    bool fits = plugin && plugin->version == LLVM_PLUGIN_VERSION;
    return fits ? plugin : NULL;
}

/* In the folder of `file`, as it was built or installed. */
static const llvm_plugin *find_beside(const char *file) {
    static const char *const places[] = {"/", "/../", "/../" THALWEG_LIBRARY_FOLDER "/"};
    char path[PATH];
    const llvm_plugin *found = NULL;
    const char *slash = strrchr(file, '/');
    for (size_t i = 0; slash && !found && i < sizeof places / sizeof *places; i++) {
        int length = snprintf(path, sizeof path, "%.*s%s%s", (int)(slash - file), file, places[i],
                              THALWEG_LLVM_PLUGIN);
        if (length > 0 && length < PATH) found = open_plugin(path);
    }
    return found;
}

/* Beside the library that this is in, or beside the program; then where libraries are looked for, and
 * where it was to be installed. It stays loaded: LLVM can't be unloaded. */
static const llvm_plugin *find_plugin(void) {
    static const char anchor = 0;
    Dl_info here;
    char path[PATH];
    const llvm_plugin *found = NULL;
    if (!*THALWEG_LLVM_PLUGIN) return NULL;
    if (dladdr(&anchor, &here) && here.dli_fname) found = find_beside(here.dli_fname);
    ssize_t length = found ? 0 : readlink("/proc/self/exe", path, sizeof path - 1);
    if (length > 0) {
        path[length] = '\0';
        found = find_beside(path);
    }
    if (!found) found = open_plugin(THALWEG_LLVM_PLUGIN);
    return found ? found : open_plugin(THALWEG_INSTALLED_FOLDER "/" THALWEG_LLVM_PLUGIN);
}

/* ---- one call ---- */

typedef struct job {
    const char *ir;
    size_t text_bytes;
    object_key key;
    void *object; /* the plugin's */
    size_t bytes;
} job;

typedef struct jobs {
    const llvm_plugin *plugin;
    VECTOR(job) list;
    atomic_size_t next; /* that no thread has taken */
} jobs;

/* The text, and what turns it into code. */
static object_key key_of(const char *ir) {
    uint64_t start = hash_string(HASH_START, "LLVM " THALWEG_LLVM_VERSION);
    int version = LLVM_PLUGIN_VERSION;
    start = hash_bytes(start, &version, sizeof version);
    return (object_key){hash_string(start, ir), hash_string(~start, ir)};
}

static known *find(const machine_codes *codes, object_key key) {
    for (size_t i = 0; i < codes->known.count; i++)
        if (codes->known.at[i].key.low == key.low && codes->known.at[i].key.high == key.high)
            return &codes->known.at[i];
    return NULL;
}

static bool is_job(const jobs *jobs, object_key key) {
    for (size_t i = 0; i < jobs->list.count; i++)
        if (jobs->list.at[i].key.low == key.low && jobs->list.at[i].key.high == key.high)
            return true;
    return false;
}

/* From the disk, else onto the list. */
static tw_status look_up(tw_context *context, machine_codes *codes, const char *ir, jobs *jobs) {
    object_key key = key_of(ir);
    size_t bytes = 0;
    if (find(codes, key) || is_job(jobs, key)) return TW_OK;
    void *object = codes->folder ? object_cache_read(context, codes->folder, key, &bytes) : NULL;
    if (object) {
        object_code code;
        bool loads = object_code_load(object, bytes, &code);
        context_release(context, object);
        known *added = loads ? VECTOR_PUSH(context, &codes->known) : NULL;
        if (added) *added = (known){key, code};
        if (loads && !added) object_code_free(&code);
        if (loads) return added ? TW_OK : TW_ERR_MEMORY;
    }
    job *added = VECTOR_PUSH(context, &jobs->list);
    if (!added) return TW_ERR_MEMORY;
    *added = (job){.ir = ir, .text_bytes = strlen(ir), .key = key};
    return TW_OK;
}

/* Jobs differ in length: each thread takes the next that is left, however many those are. */
static void compile(void *argument, int64_t begin, int64_t end) {
    jobs *jobs = argument;
    (void)begin, (void)end;
    for (size_t i; (i = atomic_fetch_add(&jobs->next, 1)) < jobs->list.count;) {
        job *it = &jobs->list.at[i];
        if (!jobs->plugin->compile(it->ir, &it->object, &it->bytes)) it->object = NULL;
    }
}

static int longest_first(const void *a, const void *b) {
    size_t x = ((const job *)a)->text_bytes, y = ((const job *)b)->text_bytes;
    return (x < y) - (x > y);
}

/* Without an object too, so that it is not tried again. */
static tw_status learn(tw_context *context, machine_codes *codes, const job *it) {
    known *added = VECTOR_PUSH(context, &codes->known);
    if (!added) return TW_ERR_MEMORY;
    added->key = it->key;
    if (!it->object || !object_code_load(it->object, it->bytes, &added->code)) return TW_OK;
    if (codes->folder) object_cache_write(codes->folder, it->key, it->object, it->bytes);
    return TW_OK;
}

static tw_status compile_all(tw_context *context, machine_codes *codes, jobs *jobs) {
    tw_status status = TW_OK;
    size_t count = jobs->list.count;
    bool trims = false;
    if (!count) return TW_OK;
    if (!codes->plugin && !codes->no_plugin) codes->plugin = find_plugin();
    codes->no_plugin = !codes->plugin;
    jobs->plugin = codes->plugin;
    qsort(jobs->list.at, count, sizeof *jobs->list.at, longest_first);
    if (jobs->plugin) tw_parallel_for(context, (int64_t)count, 1, compile, jobs);
    for (size_t i = 0; i < count; i++) {
        job *it = &jobs->list.at[i];
        if (!status) status = learn(context, codes, it);
        if (it->object) jobs->plugin->release(it->object);
        trims = trims || it->key.low % TRIM_EVERY == 0;
    }
    if (trims && codes->folder) object_cache_trim(context, codes->folder, MOST_CACHED);
    return status;
}

tw_status machine_code_get(tw_context *context, int n, const char *const *ir, void **out) {
    long refused = context->refused;
    machine_codes *codes = codes_of(context);
    jobs jobs = {0};
    tw_status status = codes ? TW_OK : TW_ERR_MEMORY;
    for (int i = 0; i < n; i++) {
        out[i] = NULL;
        if (!status && ir[i]) status = look_up(context, codes, ir[i], &jobs);
    }
    if (!status) status = compile_all(context, codes, &jobs);
    for (int i = 0; i < n && !status; i++) {
        const known *found = ir[i] ? find(codes, key_of(ir[i])) : NULL;
        if (found) out[i] = found->code.kernel;
    }
    VECTOR_FREE(context, &jobs.list);
    if (!status && context->refused != refused) status = TW_ERR_MEMORY; /* the cache went without */
    return status;
}
