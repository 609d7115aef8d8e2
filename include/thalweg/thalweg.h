/* All of Thalweg's public interface. */
#ifndef THALWEG_THALWEG_H
#define THALWEG_THALWEG_H

#include <thalweg/base.h>
#include <thalweg/checkpoint.h>
#include <thalweg/control.h>
#include <thalweg/data.h>
#include <thalweg/graph.h>
#include <thalweg/init.h>
#include <thalweg/log.h>
#include <thalweg/loss.h>
#include <thalweg/metric.h>
#include <thalweg/model.h>
#include <thalweg/nn.h>
#include <thalweg/operator.h>
#include <thalweg/operators.h>
#include <thalweg/optim.h>
#include <thalweg/run.h>

#endif
