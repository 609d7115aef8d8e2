/* Two passes of the triangle filter, over x and then over y (Pillow's Resample.c, precompute_coeffs). */
#include "io/resize.h"

#include <math.h>
#include <stdlib.h>

/* For each place of the output which places of the input count, and how much. */
typedef struct filter {
    int64_t *first, *count; /* of each output place */
    float *weight;          /* (output, taps) */
    int64_t taps;           /* the most that any has */
    void *memory;
} filter;

static void fill(filter *it, int64_t size, double from, double scale, double radius, int64_t to) {
    for (int64_t i = 0; i < to; i++) {
        double centre = from + ((double)i + 0.5) * scale, sum = 0;
        double low = floor(centre - radius + 0.5), high = floor(centre + radius + 0.5);
        int64_t first = low > 0 ? (int64_t)low : 0;
        int64_t end = high < (double)size ? (int64_t)high : size;
        float *weight = it->weight + i * it->taps;
        it->first[i] = first;
        it->count[i] = end - first;
        for (int64_t k = 0; k < end - first; k++) {
            double distance = fabs(((double)(first + k) - centre + 0.5) / radius);
            double share = distance < 1 ? 1 - distance : 0;
            weight[k] = (float)share;
            sum += share;
        }
        for (int64_t k = 0; k < end - first; k++) weight[k] = (float)((double)weight[k] / sum);
    }
}

/* The `length` from `from` on of `size` places becomes `to` places. */
static bool filter_begin(filter *it, int64_t size, double from, double length, int64_t to) {
    double scale = length / (double)to, radius = scale > 1 ? scale : 1;
    it->taps = 2 * (int64_t)ceil(radius) + 1;
    size_t numbers = (size_t)to * sizeof(int64_t);
    it->memory = malloc(2 * numbers + (size_t)to * (size_t)it->taps * sizeof(float));
    if (!it->memory) return false;
    it->first = it->memory;
    it->count = it->first + to;
    it->weight = (float *)(it->count + to);
    fill(it, size, from, scale, radius, to);
    return true;
}

/* One row: from (size, channels) to (width, channels). */
static void filter_row(const filter *it, const uint8_t *from, int64_t channels, int64_t width,
                       float *out) {
    for (int64_t x = 0; x < width; x++) {
        const uint8_t *at = from + it->first[x] * channels;
        const float *weight = it->weight + x * it->taps;
        float sum[3] = {0};
        for (int64_t k = 0; k < it->count[x]; k++)
            for (int64_t c = 0; c < channels; c++)
                sum[c] += weight[k] * (float)at[k * channels + c];
        for (int64_t c = 0; c < channels; c++) out[x * channels + c] = sum[c];
    }
}

/* Rows of n numbers: out is the weighted sum of those that count for row y. */
static void filter_column(const filter *it, const float *rows, int64_t n, int64_t y, float *out) {
    const float *weight = it->weight + y * it->taps;
    for (int64_t i = 0; i < n; i++) out[i] = 0;
    for (int64_t k = 0; k < it->count[y]; k++)
        for (int64_t i = 0; i < n; i++) out[i] += weight[k] * rows[k * n + i];
}

bool image_resize(const image *from, image_box box, int64_t height, int64_t width, float *out) {
    filter across = {0}, down = {0};
    float *rows = NULL;
    int64_t n = width * from->channels;
    bool fine = filter_begin(&across, from->width, box.x, box.width, width) &&
                filter_begin(&down, from->height, box.y, box.height, height);
    int64_t first = fine ? down.first[0] : 0;
    int64_t end = fine ? down.first[height - 1] + down.count[height - 1] : 0;
    if (fine) rows = malloc((size_t)(end - first) * (size_t)n * sizeof *rows);
    for (int64_t y = first; rows && y < end; y++)
        filter_row(&across, from->pixels + y * from->width * from->channels, from->channels, width,
                   rows + (y - first) * n);
    for (int64_t y = 0; rows && y < height; y++)
        filter_column(&down, rows + (down.first[y] - first) * n, n, y, out + y * n);
    fine = rows != NULL;
    free(across.memory);
    free(down.memory);
    free(rows);
    return fine;
}
