/*
 * Folders of pictures as datasets. The names are listed once, sorted, so that examples and classes
 * have the same numbers everywhere; pictures are read when they are asked for. What is random follows
 * from (seed, epoch, example) alone. Reading may happen in another thread: it leaves the context alone.
 */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/number.h"
#include "base/vector.h"
#include "io/bytes.h"
#include "io/dataset.h"
#include "io/image.h"
#include "io/resize.h"

enum {
    SIDE_DEFAULT = 224,
    CHANNELS_DEFAULT = 3,
    CROP_TRIES = 10,
    DRAWS = 16, /* of one example in one epoch: a crop's tries, and the flip as the last */
    MESSAGE = 512
};

typedef struct picture {
    const char *path;
    int32_t label;
} picture;

typedef VECTOR(const char *) names;

typedef struct image_folder {
    tw_context *context;
    const char *path;
    tw_images_opts opts;
    float scale[3], shift[3]; /* of each channel: bytes to normalised numbers */
    uint64_t key;
    arena strings;
    VECTOR(picture) pictures;
    names classes; /* NULL after the last; none: no labels */
} image_folder;

static void image_folder_release(void *user) {
    image_folder *folder = user;
    VECTOR_FREE(folder->context, &folder->pictures);
    VECTOR_FREE(folder->context, &folder->classes);
    arena_end(&folder->strings);
    context_release(folder->context, folder);
}

/* ---- listing ---- */

static bool is_picture(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot &&
           (!strcasecmp(dot, ".png") || !strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg"));
}

/* A path inside the folder, in its memory. */
static const char *join(image_folder *folder, const char *parent, const char *name) {
    return arena_format(&folder->strings, "%s/%s", parent, name);
}

static tw_status refuse_system(image_folder *folder, const char *path) {
    tw_status status = errno == ENOENT || errno == ENOTDIR ? TW_ERR_NOT_FOUND : TW_ERR_IO;
    return context_error(folder->context, status, "image folder '%s': cannot list it: %s", path,
                         strerror(errno));
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of the folders and of the pictures in `path`, each sorted. */
static tw_status list(image_folder *folder, const char *path, names *folders, names *pictures) {
    DIR *stream = opendir(path);
    if (!stream) return refuse_system(folder, path);
    tw_status status = TW_OK;
    for (struct dirent *entry; !status && (errno = 0, (entry = readdir(stream)));) {
        if (entry->d_name[0] == '.') continue;
        const char *full = join(folder, path, entry->d_name);
        struct stat facts;
        if (!full) status = tw_last_status(folder->context);
        if (!full || stat(full, &facts)) continue; /* a link to nowhere is no picture */
        names *to = S_ISDIR(facts.st_mode)                                ? folders
                    : S_ISREG(facts.st_mode) && is_picture(entry->d_name) ? pictures
                                                                          : NULL;
        const char **slot = to ? VECTOR_PUSH(folder->context, to) : NULL;
        if (slot) *slot = full + strlen(path) + 1;
        if (to && !slot) status = tw_last_status(folder->context);
    }
    if (!status && errno) status = refuse_system(folder, path);
    closedir(stream);
    if (folders->count) qsort(folders->at, folders->count, sizeof *folders->at, compare_names);
    if (pictures->count) qsort(pictures->at, pictures->count, sizeof *pictures->at, compare_names);
    return status;
}

/* The names point behind their paths: join made both. */
static tw_status add_pictures(image_folder *folder, const names *pictures, const char *parent,
                              int32_t label) {
    for (size_t i = 0; i < pictures->count; i++) {
        picture *slot = VECTOR_PUSH(folder->context, &folder->pictures);
        if (!slot) return tw_last_status(folder->context);
        *slot = (picture){pictures->at[i] - strlen(parent) - 1, label};
    }
    return TW_OK;
}

static tw_status add_class(image_folder *folder, const char *name, int32_t label) {
    const char *path = name - strlen(folder->path) - 1;
    names deeper = {0}, pictures = {0};
    tw_status status = list(folder, path, &deeper, &pictures);
    if (!status && !pictures.count)
        status = context_error(
            folder->context, TW_ERR_FORMAT,
            "image folder '%s': the class '%s' has no .png, .jpg or .jpeg file%s", folder->path,
            name, deeper.count ? "; folders in it are not searched" : "");
    if (!status) status = add_pictures(folder, &pictures, path, label);
    VECTOR_FREE(folder->context, &deeper);
    VECTOR_FREE(folder->context, &pictures);
    return status;
}

static tw_status find_pictures(image_folder *folder) {
    names pictures = {0};
    tw_status status = list(folder, folder->path, &folder->classes, &pictures);
    size_t classes = folder->classes.count;
    if (!status && !classes && !pictures.count)
        status = context_error(folder->context, TW_ERR_NOT_FOUND,
                               "image folder '%s' has neither a folder for each class nor .png, "
                               ".jpg or .jpeg files",
                               folder->path);
    if (!status && classes && pictures.count)
        status = context_error(folder->context, TW_ERR_FORMAT,
                               "image folder '%s' has folders such as '%s' and pictures such as "
                               "'%s'; expected one or the other",
                               folder->path, folder->classes.at[0], pictures.at[0]);
    if (!status) status = add_pictures(folder, &pictures, folder->path, 0);
    for (size_t i = 0; !status && i < classes; i++)
        status = add_class(folder, folder->classes.at[i], (int32_t)i);
    VECTOR_FREE(folder->context, &pictures);
    if (!status && !VECTOR_PUSH(folder->context, &folder->classes))
        status = tw_last_status(folder->context);
    return status;
}

/* ---- reading, in any thread ---- */

static void draw(const image_folder *folder, const dataset_request *request, int64_t example,
                 int which, double out[4]) {
    uint32_t word[4];
    philox(folder->key, (uint64_t)example * DRAWS + (uint64_t)which, (uint64_t)request->epoch,
           word);
    for (int i = 0; i < 4; i++) out[i] = word[i] * 0x1p-32;
}

/* The largest part in the middle with the sides' ratio of the result. */
static image_box middle(const image_folder *folder, const image *from) {
    double height = (double)from->height, width = (double)from->width;
    double ratio = (double)folder->opts.width / (double)folder->opts.height;
    image_box box = {0, 0, height, width};
    if (folder->opts.stretch) return box;
    if (width > height * ratio)
        box.width = height * ratio;
    else
        box.height = width / ratio;
    box.y = (height - box.height) / 2;
    box.x = (width - box.width) / 2;
    return box;
}

/* Szegedy et al., "Going deeper with convolutions" (2015), section 6: a part of `crop` to 1 of the
 * area with a ratio of sides of 3/4 to 4/3 (as often wide as high), in whole pixels, which are the
 * same on every machine. A picture so narrow that ten tries do not fit gives its middle. */
static image_box part(const image_folder *folder, const dataset_request *request, int64_t example,
                      const image *from) {
    double height = (double)from->height, width = (double)from->width;
    for (int i = 0; i < CROP_TRIES; i++) {
        double u[4];
        draw(folder, request, example, i, u);
        double area = height * width * (folder->opts.crop + (1 - folder->opts.crop) * u[0]);
        double ratio = u[1] < 0.5 ? 0.75 + 0.5 * u[1] : 1 / (0.75 + 0.5 * (u[1] - 0.5));
        image_box box = {.height = floor(sqrt(area / ratio) + 0.5),
                         .width = floor(sqrt(area * ratio) + 0.5)};
        if (box.height < 1 || box.width < 1 || box.height > height || box.width > width) continue;
        box.y = floor(u[2] * (height - box.height + 1));
        box.x = floor(u[3] * (width - box.width + 1));
        return box;
    }
    return middle(folder, from);
}

static void normalise(const image_folder *folder, float *out, bool flip) {
    int64_t height = folder->opts.height, width = folder->opts.width, n = folder->opts.channels;
    for (int64_t y = 0; y < height; y++) {
        float *row = out + y * width * n;
        for (int64_t i = 0; i < width * n; i++)
            row[i] = row[i] * folder->scale[i % n] + folder->shift[i % n];
        for (int64_t x = 0; flip && x < width / 2; x++) {
            for (int64_t c = 0; c < n; c++) {
                float kept = row[x * n + c];
                row[x * n + c] = row[(width - 1 - x) * n + c];
                row[(width - 1 - x) * n + c] = kept;
            }
        }
    }
}

static tw_status read_picture(const image_folder *folder, const dataset_request *request,
                              int64_t example, float *out) {
    const char *path = folder->pictures.at[example].path;
    char what[MESSAGE] = "";
    const image_message message = {what, sizeof what};
    image picture;
    tw_status status = image_read(path, folder->opts.channels, &picture, &message);
    if (status) return dataset_refuse(request, status, "image '%s': %s", path, what);
    image_box box =
        folder->opts.crop > 0 ? part(folder, request, example, &picture) : middle(folder, &picture);
    bool fine = image_resize(&picture, box, folder->opts.height, folder->opts.width, out);
    image_end(&picture);
    if (!fine)
        return dataset_refuse(request, TW_ERR_MEMORY, "image '%s': no memory to resize it", path);
    double u[4] = {1};
    if (folder->opts.flip) draw(folder, request, example, DRAWS - 1, u);
    normalise(folder, out, u[0] < 0.5);
    return TW_OK;
}

static tw_status read_examples(void *user, const dataset_request *request) {
    const image_folder *folder = user;
    size_t numbers = (size_t)(folder->opts.height * folder->opts.width * folder->opts.channels);
    for (int64_t i = 0; i < request->n; i++) {
        int64_t example = request->index[i];
        float *out = (float *)request->out[0] + (size_t)i * numbers;
        tw_status status = read_picture(folder, request, example, out);
        if (status) return status;
        if (folder->classes.count > 1)
            ((int32_t *)request->out[1])[i] = folder->pictures.at[example].label;
    }
    return TW_OK;
}

/* ---- options ---- */

static tw_status check_sizes(image_folder *folder) {
    tw_images_opts *opts = &folder->opts;
    if (!opts->height) opts->height = SIDE_DEFAULT;
    if (!opts->width) opts->width = SIDE_DEFAULT;
    if (!opts->channels) opts->channels = CHANNELS_DEFAULT;
    if (opts->height < 1 || opts->width < 1 || opts->height > IMAGE_SIDE_AT_MOST ||
        opts->width > IMAGE_SIDE_AT_MOST || opts->height * opts->width > IMAGE_PIXELS_AT_MOST)
        return context_error(folder->context, TW_ERR_ARGUMENT,
                             "tw_dataset_images: height %lld and width %lld; expected 1 to %d each "
                             "and at most %d pixels",
                             (long long)opts->height, (long long)opts->width, IMAGE_SIDE_AT_MOST,
                             IMAGE_PIXELS_AT_MOST);
    if (opts->channels != 1 && opts->channels != 3)
        return context_error(folder->context, TW_ERR_ARGUMENT,
                             "tw_dataset_images: %lld channels; expected 1 or 3",
                             (long long)opts->channels);
    if (!(opts->crop >= 0 && opts->crop <= 1))
        return context_error(folder->context, TW_ERR_ARGUMENT,
                             "tw_dataset_images: crop %g; expected a share of 0 to 1", opts->crop);
    return TW_OK;
}

static tw_status take_options(image_folder *folder, const tw_images_opts *opts) {
    if (opts) folder->opts = *opts;
    tw_status status = check_sizes(folder);
    for (int i = 0; !status && i < folder->opts.channels; i++) {
        double mean = folder->opts.mean ? (double)folder->opts.mean[i] : 0;
        double deviation = folder->opts.deviation ? (double)folder->opts.deviation[i] : 1;
        if (!isfinite(mean) || !isfinite(deviation) || !(deviation > 0))
            return context_error(folder->context, TW_ERR_ARGUMENT,
                                 "tw_dataset_images: channel %d has mean %g and deviation %g; "
                                 "expected numbers, the deviation above 0",
                                 i, mean, deviation);
        folder->scale[i] = (float)(1 / (255 * deviation));
        folder->shift[i] = (float)(-mean / deviation);
    }
    unsigned char seed[8];
    bytes_put_little_u64(seed, folder->opts.seed);
    folder->key = hash_bytes(hash_string(HASH_START, "images"), seed, sizeof seed);
    return status;
}

/* Sets what the dataset shows and hands the folder over to it. */
static tw_dataset *make_dataset(image_folder *folder) {
    const tw_images_opts *opts = &folder->opts;
    bool labels = folder->classes.count > 1;
    const tw_dataset_source source = {
        .count = (int64_t)folder->pictures.count,
        .columns = labels ? 2 : 1,
        .name = {"images", "labels"},
        .type = {{TW_F32, TW_SHAPE(opts->height, opts->width, opts->channels)},
                 {TW_I32, tw_shape_make(0, NULL)}},
        .classes = {NULL, labels ? folder->classes.at : NULL},
        .release = image_folder_release,
        .user = folder,
    };
    return dataset_new(folder->context, &source, read_examples);
}

tw_dataset *tw_dataset_images(tw_context *context, const char *path, const tw_images_opts *opts) {
    if (!context) return NULL;
    if (!path) {
        context_error(context, TW_ERR_NULL, "tw_dataset_images: the folder is NULL");
        return NULL;
    }
    image_folder *folder = context_allocate(context, 1, sizeof *folder);
    if (!folder) return NULL;
    folder->context = context;
    arena_start(&folder->strings, context);
    folder->path = path;
    tw_status status = take_options(folder, opts);
    if (!status) status = find_pictures(folder);
    folder->opts.mean = folder->opts.deviation = NULL; /* the caller's */
    folder->path = NULL;
    tw_dataset *dataset = status ? NULL : make_dataset(folder);
    if (!dataset) image_folder_release(folder);
    return dataset;
}
