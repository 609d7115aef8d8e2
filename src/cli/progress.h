/* How far an epoch is: a bar that redraws itself on a terminal, plain lines elsewhere. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    int64_t epoch, epochs, examples;
    double began, shown; /* seconds */
    int quarters;        /* told of in plain lines */
    bool terminal, unicode;
} progress;

/* Seconds of a clock that only goes forward. */
double progress_clock(void);
void progress_start(progress *bar, int64_t epoch, int64_t epochs, int64_t examples);
void progress_show(progress *bar, int64_t done, double loss);
/* Clears the bar, so that a line can be printed in its place. */
void progress_end(progress *bar);

#endif
