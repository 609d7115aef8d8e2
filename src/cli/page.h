/* The reference page of operators, as Markdown on standard output, from their entries alone. */
#ifndef CLI_PAGE_H
#define CLI_PAGE_H

#include <thalweg/operator.h>

/* Title, how to read it, index, and a section for each operator of the context. */
void page_print(tw_context *context);
/* One operator's section. */
void page_print_operator(tw_context *context, const tw_operator *op);

#endif
