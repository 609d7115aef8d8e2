/*
 * Data for training: datasets (random access to examples), loaders (batches in order, ahead of
 * time), readers of files. Every message names the file, the row or offset, and what was expected.
 */
#ifndef THALWEG_DATA_H
#define THALWEG_DATA_H

#include <thalweg/run.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { TW_MAX_COLUMNS = 16 };

/* Counted; a dataset that is made from another one holds it. All constructors give NULL on failure
 * with the context's error. */
typedef struct tw_dataset tw_dataset;

/*
 * A user's own source: `count` examples of `columns` arrays each. read writes the n examples at
 * index[] (0 to count - 1), one after the other, into out[k] for each column k. It may be called
 * from a thread of the loader, one call at a time; on failure it writes a line into message. It is
 * never to call the library with the dataset's context.
 */
typedef struct tw_dataset_source {
    int64_t count;
    int columns;
    const char *name[TW_MAX_COLUMNS];           /* may be NULL */
    tw_type type[TW_MAX_COLUMNS];               /* of one example; extents are numbers */
    const char *const *classes[TW_MAX_COLUMNS]; /* names of codes 0, 1, ..., then NULL; or NULL */
    tw_status (*read)(void *user, int64_t n, const int64_t *index, void *const *out, char *message,
                      size_t capacity);
    void (*release)(void *user); /* at the end, not when tw_dataset_new fails; may be NULL */
    void *user;
    void *reserved_[4];
} tw_dataset_source;
TW_API tw_dataset *tw_dataset_new(tw_context *context, const tw_dataset_source *source);
/* Axis 0 of each tensor counts the examples. Holds the tensors; wrapped memory is not copied. */
TW_API tw_dataset *tw_dataset_arrays(tw_context *context, int n, tw_tensor *const *columns);
TW_API void tw_dataset_free(tw_dataset *dataset);
TW_API int64_t tw_dataset_count(const tw_dataset *dataset);
TW_API int tw_dataset_columns(const tw_dataset *dataset);
/* Of one example of column i; its name ("" where there is none). */
TW_API tw_type tw_dataset_type(const tw_dataset *dataset, int i);
TW_API const char *tw_dataset_name(const tw_dataset *dataset, int i);
/* Names of the classes of a column of codes (image folders, CSV text columns, CIFAR); NULL past the
 * end and for columns that have none. */
TW_API const char *tw_dataset_class(const tw_dataset *dataset, int column, int64_t code);
/* Copies the n examples at index[] into out[k], as a source's read does. */
TW_API tw_status tw_dataset_read(tw_dataset *dataset, int64_t n, const int64_t *index,
                                 void *const *out);

/* Examples from..from + count - 1. */
TW_API tw_dataset *tw_dataset_range(tw_dataset *dataset, int64_t from, int64_t count);
/* A random part of `fraction` of the examples in *second, the rest in *first, each in ascending
 * order; the same parts for the same seed on every machine. */
TW_API tw_status tw_dataset_split(tw_dataset *dataset, double fraction, uint64_t seed,
                                  tw_dataset **first, tw_dataset **second);
/* Column i as scale * x + offset, of another type, and of another shape with as many elements.
 * Integers to integers are exact, and want whole numbers for both. To integers: toward zero, past
 * the ends the ends, NaN to 0. */
TW_API tw_dataset *tw_dataset_convert(tw_dataset *dataset, int column, tw_dtype dtype,
                                      tw_shape shape, double scale, double offset);
/* Mean and standard deviation over all elements of column i. */
TW_API tw_status tw_dataset_moments(tw_dataset *dataset, int column, double *mean,
                                    double *deviation);

/* Files. An idx file (LeCun's MNIST format), gzipped or not, as a tensor of its own type and shape:
 * u8, i32, f32 or f64. */
TW_API tw_tensor *tw_idx_read(tw_context *context, const char *path);
/* A NumPy array, C order or Fortran order, of a type that Thalweg has (f2 f4 f8 i4 i8 u1 u4 b1); mapped
 * into memory where the file's order allows: writing to the tensor leaves the file alone, and the
 * file must not be cut while the tensor lives. */
TW_API tw_tensor *tw_npy_read(tw_context *context, const char *path);
/* Of the types above. Written aside, then put in the place of an old file. */
TW_API tw_status tw_npy_write(tw_tensor *tensor, const char *path);
/* The array `name` of an archive, stored or deflated, of less than 4 GiB. */
TW_API tw_tensor *tw_npz_read(tw_context *context, const char *path, const char *name);
/* One column for each array of the archive, in its order. */
TW_API tw_dataset *tw_dataset_npz(tw_context *context, const char *path);
/* Image and label files; labels may be NULL. Columns "images" u8 (height, width), "labels" u8. */
TW_API tw_dataset *tw_dataset_idx(tw_context *context, const char *images, const char *labels);
/* CIFAR-10's binary files (Krizhevsky 2009), n of them: "images" u8 (32, 32, 3), "labels" u8. */
TW_API tw_dataset *tw_dataset_cifar(tw_context *context, int n, const char *const *paths);

/*
 * Comma-separated values (RFC 4180; empty lines are passed over). Numbers are decimal, whatever the
 * locale: each becomes the nearest f32. A column with anything else is text; a feature that is a number
 * in more than nine rows of ten is refused, since a misprint would make codes of all its numbers.
 */
typedef struct tw_csv_opts {
    char separator;    /* default ',' */
    bool no_header;    /* columns are then named "0", "1", ... */
    const char *label; /* the label's column; default: the last */
    bool no_label;     /* every column is a feature */
    const char
        *columns; /* space-separated names of the features, in their order; a name with spaces
                          * stands in double quotes; default: all but the label */
    const char *missing; /* space-separated spellings besides the empty field; default "NA nan ?" */
    double fill;         /* what a missing number becomes: NAN and TW_ZERO too; default: it is
                          * refused. A missing text is the text "", a missing label is refused */
    bool fill_mean;      /* the column's mean instead */
    bool regression;     /* the label is a number (f32); else a class (i32) by its spelling */
    void *reserved_[8];
} tw_csv_opts;
/* "features" f32 (columns) and "label" i32 or f32 (). Text columns become codes in order of first
 * sight, the label too, unless all its spellings are whole numbers from 0 to 65535: those are their
 * own codes. The file stays on disk: memory does not grow with it beyond an index of every 1024th
 * row, or of one row in each 64 KB where that is fewer. A row has 16 MB at most. */
TW_API tw_dataset *tw_dataset_csv(tw_context *context, const char *path, const tw_csv_opts *opts);

/* Byte-pair encoding (Sennrich et al. 2016) from GPT-2's vocab.json and merges.txt. The vocabulary
 * holds each byte, so every text has its tokens, malformed UTF-8 too, and comes back from them. */
typedef struct tw_tokenizer tw_tokenizer;
TW_API tw_tokenizer *tw_tokenizer_new(tw_context *context, const char *vocabulary,
                                      const char *merges);
TW_API void tw_tokenizer_free(tw_tokenizer *tokenizer);
TW_API int64_t tw_tokenizer_size(const tw_tokenizer *tokenizer);
/* The text's tokens as i32 (n). Special tokens are not looked for: their spelling is text. */
TW_API tw_tensor *tw_tokenizer_encode(tw_tokenizer *tokenizer, const char *text, size_t bytes);
/* Exactly the bytes that the tokens stand for, then a zero byte: the caller's (tw_string_free). */
TW_API char *tw_tokenizer_decode(tw_tokenizer *tokenizer, int64_t n, const int32_t *tokens);
/* Language modelling: example i is `length` tokens from i * stride on, "tokens", and the same one
 * further, "targets", both i32 (length). Bytes where tokenizer is NULL, of the file mapped into
 * memory; else all its tokens are kept, and the tokenizer may be freed. stride 0: length. */
TW_API tw_dataset *tw_dataset_text(tw_context *context, const char *path, int64_t length,
                                   int64_t stride, tw_tokenizer *tokenizer);

/*
 * A folder with a folder of images for each class, or of images alone: .png, .jpg and .jpeg files;
 * other files, and names that start with a dot, are left out. Transparency and a camera's note of
 * the orientation are ignored, 16 bits become 8. Resizing is antialiased (Pillow's BILINEAR). PNG
 * needs a build with libpng, JPEG one with libjpeg: TW_ERR_UNSUPPORTED without.
 */
typedef struct tw_images_opts {
    int64_t height, width; /* of every example; default 224 */
    int64_t channels;      /* 1 or 3; default 3 */
    bool stretch;          /* default: resize the shorter side, cut the middle out */
    /* For training, drawn anew in each epoch from (seed, epoch, example): */
    bool flip;   /* left to right, half of the time */
    double crop; /* a random part of this share of the area to 1, its sides 3/4 to 4/3 of each other
                  * (Szegedy et al. 2015); 0: none */
    uint64_t seed;
    const float *mean, *deviation; /* of each channel, in units of 0 to 1; default 0 and 1 */
    void *reserved_[8];
} tw_images_opts;
/* "images" f32 (height, width, channels); where there are classes "labels" i32 () by the folders'
 * names in order of their bytes. Files are read when asked for; tw_dataset_read is of epoch 0. */
TW_API tw_dataset *tw_dataset_images(tw_context *context, const char *folder,
                                     const tw_images_opts *opts);

/* Batches of a dataset. */
typedef struct tw_loader tw_loader;
typedef struct tw_loader_opts {
    int64_t batch;  /* examples in a batch; default 32 */
    bool shuffle;   /* each epoch in an order of its own, from (seed, epoch), the same on every
                     * machine; takes 8 bytes an example */
    bool repeat;    /* the next epoch follows at once; tw_loader_next never gives TW_END */
    bool drop_last; /* leave out a last batch that is not full */
    uint64_t seed;
    int prefetch; /* batches that a thread prepares ahead; default 2; -1: none, no thread */
    void *reserved_[8];
} tw_loader_opts;
TW_API tw_loader *tw_loader_new(tw_dataset *dataset, const tw_loader_opts *opts);
/* tw_dataset_text of bytes, and its loader. */
TW_API tw_loader *tw_loader_text(tw_context *context, const char *path, int64_t length,
                                 const tw_loader_opts *opts);
TW_API void tw_loader_free(tw_loader *loader);
/*
 * The next batch, a tensor (n, ...) for each column, borrowed until the next call. TW_END after
 * the last of an epoch; the call after that begins the next one. n is smaller in the last batch of
 * an epoch: open the axis (tw_jit_opts.open) to train on it without another compile. A failure of
 * the source comes out here, in its turn; the next call tries that batch again.
 */
TW_API tw_status tw_loader_next(tw_loader *loader, tw_tensor **batch);
TW_API tw_dataset *tw_loader_dataset(const tw_loader *loader); /* borrowed */
/* Where the next batch starts: epochs from 0, examples of it that are done. Checkpoints keep it. */
typedef struct tw_cursor {
    int64_t epoch, example;
} tw_cursor;
TW_API tw_cursor tw_loader_cursor(const tw_loader *loader);
/* Goes there; batches then are those of a loader that was never stopped. Ends the loan of the
 * latest batch. */
TW_API tw_status tw_loader_seek(tw_loader *loader, tw_cursor cursor);
/* Seconds that tw_loader_next has waited for data so far. */
TW_API double tw_loader_waited(const tw_loader *loader);

#ifdef __cplusplus
}
#endif
#endif
