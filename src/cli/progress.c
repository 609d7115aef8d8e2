/* Draws the bar, or prints a line at each quarter. */
#include "cli/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_WIDTH = 62, SHORTEST_BAR = 8, LONGEST_BAR = 40 };
static const double redraw_seconds = 0.08;

double progress_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool knows_unicode(void) {
    const char *names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (int i = 0; i < 3; i++) {
        const char *value = getenv(names[i]);
        if (value && *value) return strstr(value, "UTF-8") || strstr(value, "utf8");
    }
    return false;
}

void progress_start(progress *bar, int64_t epoch, int64_t epochs, int64_t examples) {
    const char *terminal = getenv("TERM");
    *bar = (progress){.epoch = epoch, .epochs = epochs, .examples = examples};
    bar->began = progress_clock();
    bar->terminal = isatty(STDOUT_FILENO) && !(terminal && !strcmp(terminal, "dumb"));
    bar->unicode = knows_unicode();
}

static int bar_width(void) {
    struct winsize size;
    int columns = 80;
    if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col) columns = size.ws_col;
    int width = columns - TEXT_WIDTH;
    return width > LONGEST_BAR ? LONGEST_BAR : width;
}

static void draw(const progress *bar, int64_t done, double loss, double rate) {
    int width = bar_width();
    int filled = (int)(width * done / bar->examples);
    printf("\r\033[Kepoch %lld/%lld  ", (long long)bar->epoch, (long long)bar->epochs);
    if (width >= SHORTEST_BAR) {
        for (int i = 0; i < filled; i++) fputs(bar->unicode ? "━" : "#", stdout);
        if (bar->unicode) fputs("\033[2m", stdout);
        for (int i = filled; i < width; i++) fputs(bar->unicode ? "─" : ".", stdout);
        if (bar->unicode) fputs("\033[0m", stdout);
        fputs("  ", stdout);
    }
    printf("%3d %%  loss %.4f  %.0f examples/s", (int)(100 * done / bar->examples), loss, rate);
    fflush(stdout);
}

void progress_show(progress *bar, int64_t done, double loss) {
    double now = progress_clock(), passed = now - bar->began;
    double rate = passed > 0 ? (double)done / passed : 0;
    if (bar->terminal) {
        if (now - bar->shown < redraw_seconds && done < bar->examples) return;
        bar->shown = now;
        draw(bar, done, loss, rate);
        return;
    }
    int quarters = (int)(4 * done / bar->examples);
    if (quarters == bar->quarters || quarters == 4) return; /* the epoch's own line is the fourth */
    bar->quarters = quarters;
    printf("epoch %lld/%lld  %d %%  loss %.4f  %.0f examples/s\n", (long long)bar->epoch,
           (long long)bar->epochs, 25 * quarters, loss, rate);
    fflush(stdout);
}

void progress_end(progress *bar) {
    if (bar->terminal) fputs("\r\033[K", stdout);
}
