/* Immediate mode: nodes are computed as they are appended. */
#ifndef EAGER_IMMEDIATE_H
#define EAGER_IMMEDIATE_H

#include "ir/graph.h"

extern const executor immediate_executor;

#endif
