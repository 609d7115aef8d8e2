/* Optimisers, schedules, averages of weights: the update phase of a graph. */
#ifndef THALWEG_OPTIM_H
#define THALWEG_OPTIM_H

#include <thalweg/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TW_ZERO (-0x1p-1000) /* an exact zero where 0 means the default */

/*
 * A rate that depends on the step t, which counts from 0 at the first update: rate(t) = rate
 * factor(t), where factor is
 *
 *     start + (1 - start) t / warmup           for t < warmup: a straight line that reaches 1 at
 *                                              t = warmup, from start = 1 / (warmup + 1)
 *     the kind's formula of u = t - warmup     after that, p = min(u / (steps - warmup), 1)
 *
 * A schedule of zeros is a constant. Kinds with `steps` stay at `floor` when the steps are over.
 * They are the closed forms of PyTorch's lr_scheduler, of the named class unless said otherwise.
 */
typedef enum tw_schedule_kind {
    TW_CONSTANT_RATE = 1,
    TW_STEP_DECAY,        /* decay^floor(u / every) (StepLR), or decay^(milestones at or before t)
                             (MultiStepLR) */
    TW_EXPONENTIAL_DECAY, /* decay^(u / every) (ExponentialLR) */
    TW_LINEAR_DECAY,      /* floor + (1 - floor) (1 - p) (LinearLR) */
    TW_POLYNOMIAL_DECAY,  /* floor + (1 - floor) (1 - p)^power (PolynomialLR has floor 0) */
    TW_COSINE,            /* floor + (1 - floor) (1 + cos(pi p)) / 2 (CosineAnnealingLR) */
    TW_INVERSE_ROOT, /* sqrt((warmup + 1) / (t + 1)) (Vaswani et al. 2017, with its peak at 1) */
    TW_ONE_CYCLE     /* OneCycleLR: half a cosine from start to 1 at t = warmup - 1, another to
                             floor at t = steps - 1 */
} tw_schedule_kind;

/* Zero is each field's default; TW_ZERO says an exact zero. */
typedef struct tw_schedule {
    tw_schedule_kind kind;
    int64_t warmup;            /* steps of warm-up; default 0; one-cycle: 3 tenths of steps */
    int64_t steps;             /* all steps, with the warm-up's: needed where the formula has p */
    double start;              /* factor at t = 0 of a warm-up; one-cycle: default 1 / 25 */
    double floor;              /* default 0; one-cycle: default start / 1e4 */
    double decay;              /* default 0.1; exponential: needed */
    int64_t every;             /* default 1; step decay needs it or milestones */
    const int64_t *milestones; /* rising values of t, warm-up included */
    int n_milestones;
    double power; /* default 1 */
    void *reserved_[4];
} tw_schedule;

/* rate factor(step), as tw_minimize computes it in f64; NaN for a schedule that it would refuse.
 * NULL: a constant. */
TW_API double tw_schedule_rate(const tw_schedule *schedule, double rate, int64_t step);
/* The factor as an f64 scalar of the graph; `step` is an i64 scalar. */
TW_API tw_value tw_schedule_factor(tw_value step, const tw_schedule *schedule);

/*
 * w is a parameter, g its gradient (after clipping), rate the rate of this step. Weight decay adds
 * weight_decay w to g, unless a kind says "decoupled". State is named in parentheses and starts at
 * zero. PyTorch's formulas where it has the optimiser (torch.optim, 2.x), the papers' else.
 */
typedef enum tw_optimizer_kind {
    TW_SGD = 1,   /* w -= rate g */
    TW_MOMENTUM,  /* (v) v = momentum v + (1 - dampening) g, at the first step v = g; w -= rate v,
                     with nesterov w -= rate (g + momentum v) (torch.optim.SGD) */
    TW_ADAM,      /* (m, v) Kingma & Ba 2015; with amsgrad (top) Reddi et al. 2018 */
    TW_ADAMW,     /* (m, v) Adam, decoupled: w -= rate weight_decay w (Loshchilov & Hutter 2019) */
    TW_ADAGRAD,   /* (sum) sum += g^2; w -= rate g / (sqrt(sum) + epsilon) (Duchi et al. 2011) */
    TW_RMSPROP,   /* (v) v = beta2 v + (1 - beta2) g^2; d = g / (sqrt(v) + epsilon), centered (m):
                     sqrt(v - m^2) with m the same average of g; w -= rate d, with momentum (b)
                     b = momentum b + d; w -= rate b (torch.optim.RMSprop) */
    TW_ADAFACTOR, /* (row, col), below rank 2 (v): Shazeer & Stern 2018, factored over the last two
                     axes, without first moment, decoupled (torch.optim.Adafactor). The rate is at
                     most 1 / sqrt(steps); times max(rms(w), least) */
    TW_LAMB,      /* (m, v) You et al. 2020, algorithm 2: Adam's change r with weight_decay w added;
                     w -= rate |w| / |r| r, the ratio 1 where one of them is 0 */
    TW_LION       /* (m) w -= rate (sign(beta1 m + (1 - beta1) g) + weight_decay w), then
                     m = beta2 m + (1 - beta2) g (Chen et al. 2023, algorithm 2) */
} tw_optimizer_kind;

/* What is different for some of the parameters. */
typedef struct tw_optimizer_group {
    const char *parameters; /* patterns */
    double rate_factor;     /* times the optimiser's rate; default 1 */
    double weight_decay;    /* default: the optimiser's */
    void *reserved_[4];
} tw_optimizer_group;

/*
 * Zero is each field's default; TW_ZERO says an exact zero. Patterns are space-separated paths in
 * which * is any run of characters; a list matches a path when one of them matches all of it.
 */
typedef struct tw_optimizer {
    tw_optimizer_kind kind; /* default TW_SGD */
    double rate;            /* default 1e-3; SGD, momentum, AdaGrad, RMSProp, Adafactor 1e-2;
                               Lion 1e-4 */
    double momentum;        /* TW_MOMENTUM: default 0.9; TW_RMSPROP: default 0 */
    double dampening;       /* TW_MOMENTUM, without nesterov; default 0 */
    bool nesterov;          /* TW_MOMENTUM */
    bool amsgrad;           /* TW_ADAM, TW_ADAMW */
    bool centered;          /* TW_RMSPROP */
    double beta1, beta2;    /* 0.9 and 0.999; RMSProp's beta2 and Lion's 0.99 */
    double epsilon;         /* default 1e-8; AdaGrad 1e-10; LAMB 1e-6; Adafactor, whose second
                               moments are at least its square: the type's unit roundoff times 2 */
    double accumulator;     /* TW_ADAGRAD: where sum starts; default 0 */
    double power, least, clip_update; /* TW_ADAFACTOR: 0.8, 1e-3, 1: beta2(t) = 1 - t^-power with t
                                         from 1, the least scale, the largest rms of a change */
    double weight_decay;
    const char *no_decay;             /* patterns of parameters without weight decay */
    const char *parameters;           /* patterns of the trained parameters; default: all */
    const char *frozen;               /* patterns of parameters that are not trained after all */
    const tw_optimizer_group *groups; /* the first that matches a parameter counts */
    int n_groups;
    double clip_value;    /* each element of the gradient to +- this; default: none */
    double clip_norm;     /* then all gradients times clip_norm / max(norm, clip_norm), where norm
                             is that of them all; default: none */
    int microbatches;     /* cut axis 0 of every input in so many parts; default 1 */
    tw_schedule schedule; /* times the rate */
    tw_value rate_value;  /* a float scalar, for instance an input, instead of `rate` */
    const char *name;     /* where state lives; default "optimizer" */
    void *reserved_[8];
} tw_optimizer;

/*
 * Gradient of the loss for its parameters and one update of each, as assigns. State lives in
 * variables "NAME/<path>/v" and the like, and "NAME/step" counts the calls: updates of one name
 * are one optimiser. Optimisers of disjoint parameters (a generator and a discriminator) take
 * names of their own; two such calls under one name in a symbolic graph are refused, since the
 * second would find the step counted already.
 *
 * State has its parameter's type. f16 and bf16 are coarse for it: 0.999 v + 0.001 g^2 stays where
 * it is. Keep parameters in f32 and cast them in the model, or take SGD or Lion.
 *
 * With microbatches, sums and weights of the parts are added in a fixed binary tree and divided
 * once: the loss must be a pair (tw_loss); the gradient is that of the whole batch when it is
 * clipped.
 *
 * Sparse gradients (embeddings): every kind's update is dense-equivalent, that is, gives the
 * numbers of the dense gradient, and none is lazy: rows without a gradient still decay, move by
 * their momentum and count as zeros in averages. TW_SGD without weight decay and clipping touches
 * only the rows there are; every other update makes the gradient dense first.
 */
TW_API void tw_minimize(tw_value loss, const tw_optimizer *optimizer);

/*
 * Exponential moving averages of the graph's trainable variables, as assigns to "average/<path>":
 * a = keep a + (1 - keep) w with w as it is at this point, so call it after tw_minimize. The first
 * call's averages are the weights themselves, later ones keep `decay` (torch.optim.swa_utils with
 * get_ema_multi_avg_fn), with `ramp` min(decay, (1 + n) / (10 + n)) after n calls; "average/step"
 * counts them. They have the weights' type, and of f16 or bf16 follow only a small decay.
 * tw_store_swap_averages (run.h) puts the averages in the place of the weights.
 */
typedef struct tw_average_opts {
    double decay; /* default 0.999 */
    bool ramp;
    const char *parameters; /* patterns; default: all */
    void *reserved_[4];
} tw_average_opts;
TW_API void tw_average(tw_graph *graph, const tw_average_opts *opts);

#ifdef __cplusplus
}
#endif
#endif
