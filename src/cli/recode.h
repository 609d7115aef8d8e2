/* A dataset with a column of codes changed: to other codes, or to vectors with one 1. */
#ifndef CLI_RECODE_H
#define CLI_RECODE_H

#include <thalweg/data.h>

/*
 * Column `column`, integers, becomes i32 codes: code k is map[k] where map is given, of n_map; a
 * negative entry or a code past the end fails. With width > 0 it becomes f32 (width), 1 at the code
 * and else 0. The dataset `inner` must last as long as the context. NULL with the context's error.
 */
tw_dataset *recode(tw_context *context, tw_dataset *inner, int column, int64_t n_map,
                   const int32_t *map, int64_t width);

#endif
