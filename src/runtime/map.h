/* Movement: strided copies of boxes of elements. */
#ifndef RUNTIME_MAP_H
#define RUNTIME_MAP_H

#include <thalweg/operator.h>

/* Runs an operator that means an index map. */
tw_status map_run(const tw_kernel_call *call);

#endif
