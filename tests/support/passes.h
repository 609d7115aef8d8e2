/* Graphs before and after passes: as texts, and as numbers. */
#ifndef SUPPORT_PASSES_H
#define SUPPORT_PASSES_H

#include <thalweg/thalweg.h>

/* Builds a graph of f32 inputs and one output. */
typedef void (*graph_maker)(tw_graph *g, tw_value *out);

/* The graph with its output. */
tw_graph *passes_graph(tw_context *context, graph_maker make);
/* The text after the passes (NULL: all), kept until the next call; it parses and verifies. */
char *passes_after(graph_maker make, const char *passes);
/* How often the word stands there. */
int passes_count(const char *text, const char *word);
/* With all passes the graph gives the numbers that it gives as built, within the tolerance. Open
 * extents are 6. */
void passes_near(graph_maker make, double tolerance);
/* The same bits, where the inputs hold NaN, infinities and zeros of both signs too. */
void passes_exact(graph_maker make);

#endif
