/* Draws curves: a frame of axes with round ticks, a light grid, lines, a legend. */
#include "io/curve.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <thalweg/graph.h>

#include "base/text.h"

enum {
    WIDTH = 760,
    HEIGHT = 440,
    LEFT = 68,
    RIGHT = 24,
    TOP = 64,
    BOTTOM = 58,
    TICKS = 6,     /* about so many on an axis */
    DOTS_APART = 4 /* pixels; closer dots would be a blot */
};

/* Okabe & Ito's colours, which people with colour-blindness can tell apart; the yellow left out. */
static const char *const palette[CURVE_COLORS] = {"#0072b2", "#d55e00", "#009e73",
                                                  "#cc79a7", "#e69f00", "#56b4e9"};

/* One axis: the numbers it spans and the pixels they fall on. */
typedef struct scale {
    double low, high, step; /* low and high are multiples of step on the y axis */
    double from, to;        /* pixels of low and high */
    int decimals;
} scale;

static double place(const scale *axis, double number) {
    return axis->from + (number - axis->low) / (axis->high - axis->low) * (axis->to - axis->from);
}

/* 1, 2 or 5 times a power of ten, so that about TICKS of them cover the span. */
static double round_step(double span) {
    double rough = span / TICKS, power = pow(10, floor(log10(rough))), digit = rough / power;
    return power * (digit < 1.5 ? 1 : digit < 3.5 ? 2 : digit < 7.5 ? 5 : 10);
}

static bool drawable(const curve_series *series, int64_t i) {
    return isfinite(series->x[i]) && isfinite(series->y[i]) && fabs(series->x[i]) < 1e300 &&
           fabs(series->y[i]) < 1e300;
}

/* What the series span along one axis. */
static scale span_of(const curve *plot, bool vertical) {
    scale axis = {.low = INFINITY, .high = -INFINITY};
    for (int s = 0; s < plot->n_series; s++) {
        const curve_series *series = &plot->series[s];
        for (int64_t i = 0; i < series->count; i++) {
            if (!drawable(series, i)) continue;
            double number = vertical ? series->y[i] : series->x[i];
            axis.low = fmin(axis.low, number);
            axis.high = fmax(axis.high, number);
        }
    }
    if (axis.low > axis.high) axis.low = 0, axis.high = 1;
    return axis;
}

/* Fits the axis to its numbers: from zero when they are near enough to it, in round steps. */
static scale fit_axis(const curve *plot, bool vertical) {
    scale axis = span_of(plot, vertical);
    if (axis.low > 0 && (vertical ? axis.low < 0.7 * axis.high : axis.low <= 0.1 * axis.high))
        axis.low = 0;
    double slack = 1e-9 * fmax(1e-9, fmax(fabs(axis.low), fabs(axis.high)));
    if (axis.high - axis.low <= slack) {
        double half = fmax(1e-6, 0.5 * fabs(axis.high));
        axis.low -= half;
        axis.high += half;
    }
    axis.step = round_step(axis.high - axis.low);
    if (vertical) {
        axis.low = axis.step * floor(axis.low / axis.step + 1e-9);
        axis.high = axis.step * ceil(axis.high / axis.step - 1e-9);
    }
    axis.decimals = (int)fmax(0, -floor(log10(axis.step) + 1e-9));
    axis.from = vertical ? HEIGHT - BOTTOM : LEFT;
    axis.to = vertical ? TOP : WIDTH - RIGHT;
    return axis;
}

static void add_escaped(text *out, const char *words) {
    for (; *words; words++) {
        switch (*words) {
        case '<': text_add(out, "&lt;"); break;
        case '>': text_add(out, "&gt;"); break;
        case '&': text_add(out, "&amp;"); break;
        case '"': text_add(out, "&quot;"); break;
        default: text_add_bytes(out, words, 1);
        }
    }
}

static void add_number(text *out, double number, const scale *axis) {
    if (fabs(number) < 1e-6 * axis->step) number = 0; /* no "-0" */
    if (axis->decimals > 6 || fabs(number) >= 1e7)
        text_add(out, "%g", number);
    else
        text_add(out, "%.*f", axis->decimals, number);
}

static void add_ticks(text *out, const scale *x, const scale *y) {
    text_add(out, "<g class=\"grid\">\n");
    for (double i = ceil(y->low / y->step - 1e-9); i * y->step <= y->high + 1e-6 * y->step; i++) {
        double at = place(y, i * y->step);
        text_add(out, "<path d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" class=\"y\">", LEFT, at,
                 WIDTH - RIGHT, LEFT - 10, at + 4);
        add_number(out, i * y->step, y);
        text_add(out, "</text>\n");
    }
    for (double i = ceil(x->low / x->step - 1e-9); i * x->step <= x->high + 1e-6 * x->step; i++) {
        double at = place(x, i * x->step);
        text_add(out, "<path d=\"M%.1f %dV%d\"/><text x=\"%.1f\" y=\"%d\" class=\"x\">", at, TOP,
                 HEIGHT - BOTTOM, at, HEIGHT - BOTTOM + 20);
        add_number(out, i * x->step, x);
        text_add(out, "</text>\n");
    }
    text_add(out, "</g>\n<path class=\"axis\" d=\"M%d %dV%dH%d\"/>\n", LEFT, TOP, HEIGHT - BOTTOM,
             WIDTH - RIGHT);
}

static void add_titles(text *out, const curve *plot) {
    if (plot->title) {
        text_add(out, "<text x=\"%d\" y=\"34\" class=\"title\">", LEFT);
        add_escaped(out, plot->title);
        text_add(out, "</text>\n");
    }
    if (plot->x_title) {
        text_add(out, "<text x=\"%d\" y=\"%d\" class=\"x name\">", (LEFT + WIDTH - RIGHT) / 2,
                 HEIGHT - 14);
        add_escaped(out, plot->x_title);
        text_add(out, "</text>\n");
    }
    if (plot->y_title) {
        int middle = (TOP + HEIGHT - BOTTOM) / 2;
        text_add(out, "<text transform=\"translate(20 %d) rotate(-90)\" class=\"x name\">", middle);
        add_escaped(out, plot->y_title);
        text_add(out, "</text>\n");
    }
}

static const char *color_of(const curve_series *series) {
    return palette[(unsigned)series->color % CURVE_COLORS];
}

static void add_line(text *out, const curve_series *series, const scale *x, const scale *y) {
    bool faint = series->style == CURVE_FAINT, open = false;
    text_add(out, "<path class=\"%s\" stroke=\"%s\" d=\"", faint ? "faint" : "line",
             color_of(series));
    for (int64_t i = 0; i < series->count; i++) {
        bool drawn = drawable(series, i);
        if (drawn)
            text_add(out, "%s%.1f %.1f", open ? " " : "M", place(x, series->x[i]),
                     place(y, series->y[i]));
        open = drawn;
    }
    text_add(out, "\"/>\n");
}

static void add_dots(text *out, const curve_series *series, const scale *x, const scale *y) {
    double last = -INFINITY;
    for (int64_t i = 0; i < series->count; i++) {
        if (!drawable(series, i)) continue;
        double at = place(x, series->x[i]);
        if (fabs(at - last) < DOTS_APART) continue;
        last = at;
        text_add(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>\n", at,
                 place(y, series->y[i]), color_of(series));
    }
}

/* One row at the top right, written from the right; widths are guessed from the letters. */
static void add_legend(text *out, const curve *plot) {
    double right = WIDTH - RIGHT;
    for (int s = plot->n_series - 1; s >= 0; s--) {
        const curve_series *series = &plot->series[s];
        if (!series->name) continue;
        right -= 7.0 * (double)strlen(series->name);
        text_add(out, "<text x=\"%.1f\" y=\"34\" class=\"key\">", right);
        add_escaped(out, series->name);
        text_add(out, "</text><path class=\"line\" stroke=\"%s\" d=\"M%.1f 30h20\"/>\n",
                 color_of(series), right - 27);
        if (series->style == CURVE_POINTS)
            text_add(out, "<circle cx=\"%.1f\" cy=\"30\" r=\"3.5\" fill=\"%s\"/>\n", right - 17,
                     color_of(series));
        right -= 46;
    }
}

char *curve_svg(tw_context *context, const curve *plot) {
    text out = {.context = context};
    scale x = fit_axis(plot, false), y = fit_axis(plot, true);
    text_add(&out,
             "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
             "height=\"%d\">\n",
             WIDTH, HEIGHT, WIDTH, HEIGHT);
    text_add(&out,
             "<style>\n"
             "text{font:12px system-ui,\"Segoe UI\",\"DejaVu Sans\",sans-serif;fill:#4b5563}\n"
             ".title{font-size:16px;font-weight:600;fill:#111827}\n"
             ".name,.key{font-size:13px}\n"
             ".x{text-anchor:middle}.y{text-anchor:end}\n"
             "path{fill:none}.grid path{stroke:#e5e7eb}.axis{stroke:#9ca3af}\n"
             ".line{stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\n"
             ".faint{stroke-width:1;stroke-opacity:.25;stroke-linejoin:round}\n"
             "circle{stroke:#fff;stroke-width:1.2}\n"
             "</style>\n");
    text_add(&out, "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", WIDTH, HEIGHT);
    add_ticks(&out, &x, &y);
    for (int s = 0; s < plot->n_series; s++) {
        add_line(&out, &plot->series[s], &x, &y);
        if (plot->series[s].style == CURVE_POINTS) add_dots(&out, &plot->series[s], &x, &y);
    }
    add_titles(&out, plot);
    add_legend(&out, plot);
    text_add(&out, "</svg>\n");
    return text_take(&out);
}

tw_status curve_write(tw_context *context, const curve *plot, const char *path) {
    char *svg = curve_svg(context, plot);
    if (!svg) return context_error(context, TW_ERR_MEMORY, "curve '%s': out of memory", path);
    FILE *file = fopen(path, "w");
    bool good = file && fputs(svg, file) >= 0;
    if (file) good = !fclose(file) && good;
    tw_string_free(context, svg);
    return good ? TW_OK
                : context_error(context, TW_ERR_IO, "cannot write '%s': %s", path, strerror(errno));
}
