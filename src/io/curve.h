/* Curves of numbers over numbers as a standalone SVG picture: a training's losses. */
#ifndef IO_CURVE_H
#define IO_CURVE_H

#include <thalweg/base.h>

typedef enum curve_style {
    CURVE_LINE = 1,
    CURVE_FAINT, /* thin and pale: the noise behind a smoothed line */
    CURVE_POINTS /* a line with a dot at each point */
} curve_style;

typedef struct curve_series {
    const char *name;    /* for the legend; NULL keeps it out */
    const double *x, *y; /* a point that is not finite breaks the line */
    int64_t count;
    curve_style style; /* default: CURVE_LINE */
    int color;         /* 0 to CURVE_COLORS - 1 */
} curve_series;

enum { CURVE_COLORS = 6 };

typedef struct curve {
    const char *title, *x_title, *y_title; /* NULL for none */
    const curve_series *series;
    int n_series;
} curve;

/* The picture's text, the caller's (tw_string_free). NULL when memory is out. */
char *curve_svg(tw_context *context, const curve *plot);
/* Writes it to a file. */
tw_status curve_write(tw_context *context, const curve *plot, const char *path);

#endif
