/* A text file for language modelling: windows of bytes, which stay on disk, or of tokens. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <thalweg/data.h>
#include <unistd.h>

#include "base/context.h"

typedef struct text_file {
    tw_context *context;
    const unsigned char *bytes; /* mapped; NULL where there are tokens */
    size_t size;
    tw_tensor *tensor; /* holds the tokens */
    const int32_t *tokens;
    int64_t length, stride;
} text_file;

static void text_file_free(text_file *file) {
    if (file->bytes) munmap((void *)(uintptr_t)file->bytes, file->size);
    if (file->tensor) tw_tensor_free(file->tensor);
    context_release(file->context, file);
}

static void release(void *user) { text_file_free(user); }

static tw_status text_read(void *user, int64_t n, const int64_t *index, void *const *out,
                           char *message, size_t capacity) {
    (void)message, (void)capacity;
    const text_file *file = user;
    for (int64_t i = 0; i < n; i++) {
        int64_t from = index[i] * file->stride;
        for (int k = 0; k < 2; k++) {
            int32_t *to = (int32_t *)out[k] + i * file->length;
            if (file->tokens) {
                memcpy(to, file->tokens + from + k, (size_t)file->length * sizeof *to);
                continue;
            }
            const unsigned char *bytes = file->bytes + from + k;
            for (int64_t j = 0; j < file->length; j++) to[j] = bytes[j];
        }
    }
    return TW_OK;
}

static tw_status refuse_system(tw_context *context, const char *path, const char *what) {
    return context_error(context,
                         errno == ENOENT || errno == ENOTDIR ? TW_ERR_NOT_FOUND : TW_ERR_IO,
                         "text file '%s': %s: %s", path, what, strerror(errno));
}

static tw_status map_file(text_file *file, const char *path) {
    tw_context *context = file->context;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return refuse_system(context, path, "cannot open it");
    struct stat facts;
    tw_status status = TW_OK;
    if (fstat(descriptor, &facts))
        status = refuse_system(context, path, "cannot ask its size");
    else if (!S_ISREG(facts.st_mode))
        status = context_error(context, TW_ERR_IO, "text file '%s' is no regular file", path);
    else if (facts.st_size) {
        file->size = (size_t)facts.st_size;
        void *mapped = mmap(NULL, file->size, PROT_READ, MAP_SHARED, descriptor, 0);
        if (mapped == MAP_FAILED)
            status = refuse_system(context, path, "cannot map it");
        else
            file->bytes = mapped;
    }
    close(descriptor);
    return status;
}

static tw_status tokenize(text_file *file, tw_tokenizer *tokenizer) {
    file->tensor = tw_tokenizer_encode(tokenizer, (const char *)file->bytes, file->size);
    if (!file->tensor) return tw_last_status(file->context);
    file->tokens = tw_tensor_map(file->tensor);
    if (file->bytes) munmap((void *)(uintptr_t)file->bytes, file->size);
    file->bytes = NULL;
    return TW_OK;
}

static tw_status prepare(text_file *file, const char *path, tw_tokenizer *tokenizer,
                         int64_t *count) {
    tw_status status = map_file(file, path);
    if (!status && tokenizer) status = tokenize(file, tokenizer);
    if (status) return status;
    int64_t n = tokenizer ? tw_tensor_type(file->tensor).shape.dim[0] : (int64_t)file->size;
    if (file->length >= n)
        return context_error(file->context, TW_ERR_FORMAT,
                             "text file '%s' has %lld %s; expected more than %lld, the length of "
                             "one example",
                             path, (long long)n, tokenizer ? "tokens" : "bytes",
                             (long long)file->length);
    *count = (n - 1 - file->length) / file->stride + 1;
    return TW_OK;
}

tw_dataset *tw_dataset_text(tw_context *context, const char *path, int64_t length, int64_t stride,
                            tw_tokenizer *tokenizer) {
    if (!context) return NULL;
    if (!path) {
        context_error(context, TW_ERR_NULL, "tw_dataset_text: the path is NULL");
        return NULL;
    }
    if (length < 1 || stride < 0) {
        context_error(context, TW_ERR_ARGUMENT,
                      "tw_dataset_text: length %lld, stride %lld; expected a length of at least 1 "
                      "and a stride that is not negative",
                      (long long)length, (long long)stride);
        return NULL;
    }
    text_file *file = context_allocate(context, 1, sizeof *file);
    if (!file) return NULL;
    *file = (text_file){.context = context, .length = length, .stride = stride ? stride : length};
    tw_dataset_source source = {
        .columns = 2,
        .name = {"tokens", "targets"},
        .type = {{TW_I32, TW_SHAPE(length)}, {TW_I32, TW_SHAPE(length)}},
        .read = text_read,
        .release = release,
        .user = file,
    };
    tw_dataset *dataset = NULL;
    if (!prepare(file, path, tokenizer, &source.count)) dataset = tw_dataset_new(context, &source);
    if (!dataset) text_file_free(file);
    return dataset;
}
