/*
 * Schedules, twice: as numbers and as nodes of the graph. Both read the settled schedule, in which
 * defaults are filled in, and do the same arithmetic in f64.
 */
#include "optim/schedule.h"

#include <math.h>
#include <thalweg/operators.h>

#include "ir/graph.h"
#include "optim/settings.h"

static const double PI = 3.14159265358979323846;

typedef struct settled {
    tw_schedule s;
    double peak, last; /* one-cycle: where its two halves end */
} settled;

static bool has_end(tw_schedule_kind kind) {
    return kind == TW_LINEAR_DECAY || kind == TW_POLYNOMIAL_DECAY || kind == TW_COSINE ||
           kind == TW_ONE_CYCLE;
}

static settled settle(const tw_schedule *given) {
    settled it = {.s = given ? *given : (tw_schedule){0}};
    tw_schedule *s = &it.s;
    if (!s->kind) s->kind = TW_CONSTANT_RATE;
    bool cycle = s->kind == TW_ONE_CYCLE;
    s->start = settings_number(s->start, cycle ? 1.0 / 25 : 1 / ((double)s->warmup + 1));
    s->floor = settings_number(s->floor, cycle ? s->start / 1e4 : 0);
    s->decay = settings_number(s->decay, 0.1);
    s->power = settings_number(s->power, 1);
    if (!s->every) s->every = 1;
    it.peak = (s->warmup ? (double)s->warmup : 0.3 * (double)s->steps) - 1;
    it.last = (double)s->steps - 1;
    return it;
}

const char *schedule_problem(const tw_schedule *given) {
    settled it = settle(given);
    const tw_schedule *s = &it.s;
    bool steps = s->kind == TW_STEP_DECAY;
    if (s->kind < TW_CONSTANT_RATE || s->kind > TW_ONE_CYCLE) return "there is no such kind";
    if (s->warmup < 0 || s->steps < 0 || s->every < 0) return "a number of steps is negative";
    if (has_end(s->kind) && s->steps <= s->warmup)
        return "steps must be the number of all steps, more than warmup";
    if (s->kind == TW_ONE_CYCLE && !(it.last > fmax(it.peak, 0))) return "one-cycle needs 2 steps";
    if (s->n_milestones < 0 || (s->n_milestones && !s->milestones))
        return "n_milestones does not fit milestones";
    if (s->n_milestones && !steps) return "milestones are for TW_STEP_DECAY";
    if (steps && given->every && s->n_milestones) return "give either every or milestones";
    if (steps && !given->every && !s->n_milestones) return "step decay needs every or milestones";
    if (s->kind == TW_EXPONENTIAL_DECAY && given->decay == 0) return "exponential needs decay";
    for (int i = 1; i < s->n_milestones; i++)
        if (s->milestones[i] < s->milestones[i - 1]) return "milestones must rise";
    if (!(s->start >= 0 && s->start <= 1e30)) return "start is not in 0 to 1e30";
    if (!(s->floor >= 0 && s->floor <= 1e30)) return "floor is not in 0 to 1e30";
    if (!(s->decay >= 0 && s->decay <= 1e30)) return "decay is not in 0 to 1e30";
    if (!(s->power > 0 && s->power <= 1e30)) return "power is not above 0";
    return NULL;
}

bool schedule_varies(const tw_schedule *schedule) {
    return schedule->kind > TW_CONSTANT_RATE || schedule->warmup;
}

/* numbers */

/* From a at q = 0 to b at q = 1 along half a cosine. */
static double swing(double a, double b, double q) { return b + (a - b) / 2 * (1 + cos(PI * q)); }

static double cycle_factor(const settled *it, double t) {
    if (t <= it->peak && it->peak > 0) return swing(it->s.start, 1, t / it->peak);
    double from = fmax(it->peak, 0);
    return swing(1, it->s.floor, fmin((t - from) / (it->last - from), 1));
}

static double milestone_factor(const tw_schedule *s, double t) {
    double passed = 0;
    for (int i = 0; i < s->n_milestones; i++) passed += t >= (double)s->milestones[i];
    return pow(s->decay, passed);
}

/* After the warm-up. */
static double decayed_factor(const tw_schedule *s, double t) {
    double u = t - (double)s->warmup, every = (double)s->every;
    double p = has_end(s->kind) ? fmin(u / (double)(s->steps - s->warmup), 1) : 0;
    switch (s->kind) {
    case TW_STEP_DECAY:
        return s->n_milestones ? milestone_factor(s, t) : pow(s->decay, floor(u / every));
    case TW_EXPONENTIAL_DECAY: return pow(s->decay, u / every);
    case TW_LINEAR_DECAY: return s->floor + (1 - s->floor) * (1 - p);
    case TW_POLYNOMIAL_DECAY: return s->floor + (1 - s->floor) * pow(1 - p, s->power);
    case TW_COSINE: return swing(1, s->floor, p);
    case TW_INVERSE_ROOT: return sqrt(((double)s->warmup + 1) / (t + 1));
    case TW_CONSTANT_RATE:
    case TW_ONE_CYCLE: break;
    }
    return 1;
}

double tw_schedule_rate(const tw_schedule *schedule, double rate, int64_t step) {
    if (!schedule) return rate;
    if (schedule_problem(schedule)) return NAN;
    settled it = settle(schedule);
    double t = step > 0 ? (double)step : 0, warmup = (double)it.s.warmup;
    if (it.s.kind == TW_ONE_CYCLE) return rate * cycle_factor(&it, t);
    if (t < warmup) return rate * (it.s.start + (1 - it.s.start) * (t / warmup));
    return rate * decayed_factor(&it.s, t);
}

/* nodes */

static tw_value value_swing(double a, double b, tw_value q) {
    return tw_shift(tw_scale(tw_shift(tw_cos(tw_scale(q, PI)), 1), (a - b) / 2), b);
}

static tw_value at_most_1(tw_value x) { return tw_min(x, tw_literal(x, 1)); }

static tw_value over(tw_value x, double divisor) { return tw_div(x, tw_literal(x, divisor)); }

static tw_value power_of(double base, tw_value exponent) {
    return tw_pow(tw_literal(exponent, base), exponent);
}

static tw_value cycle_value(const settled *it, tw_value t) {
    double from = fmax(it->peak, 0);
    tw_value down = over(tw_shift(t, -from), it->last - from);
    tw_value falling = value_swing(1, it->s.floor, at_most_1(down));
    if (!(it->peak > 0)) return falling;
    tw_value rising = value_swing(it->s.start, 1, over(t, it->peak));
    return tw_select(tw_compare(TW_LE, t, tw_literal(t, it->peak)), rising, falling);
}

static tw_value milestone_value(const tw_schedule *s, tw_value t) {
    tw_value passed = tw_literal(t, 0);
    for (int i = 0; i < s->n_milestones; i++) {
        tw_value reached = tw_compare(TW_GE, t, tw_literal(t, (double)s->milestones[i]));
        passed = tw_add(passed, tw_cast(reached, TW_F64));
    }
    return power_of(s->decay, passed);
}

static tw_value decayed_value(const tw_schedule *s, tw_value t) {
    tw_value u = tw_shift(t, -(double)s->warmup), p = u;
    double every = (double)s->every;
    if (has_end(s->kind)) p = at_most_1(over(u, (double)(s->steps - s->warmup)));
    switch (s->kind) {
    case TW_STEP_DECAY:
        return s->n_milestones ? milestone_value(s, t)
                               : power_of(s->decay, tw_floor(over(u, every)));
    case TW_EXPONENTIAL_DECAY: return power_of(s->decay, over(u, every));
    case TW_LINEAR_DECAY: return tw_shift(tw_scale(tw_shift(tw_neg(p), 1), 1 - s->floor), s->floor);
    case TW_POLYNOMIAL_DECAY: {
        tw_value left = tw_shift(tw_neg(p), 1);
        left = tw_pow(left, tw_literal(left, s->power));
        return tw_shift(tw_scale(left, 1 - s->floor), s->floor);
    }
    case TW_COSINE: return value_swing(1, s->floor, p);
    case TW_INVERSE_ROOT: {
        tw_value count = tw_shift(t, 1);
        return tw_sqrt(tw_div(tw_literal(count, (double)s->warmup + 1), count));
    }
    case TW_CONSTANT_RATE:
    case TW_ONE_CYCLE: break;
    }
    return tw_literal(t, 1);
}

tw_value tw_schedule_factor(tw_value step, const tw_schedule *schedule) {
    tw_graph *graph = step.graph;
    if (!graph || graph->status) return (tw_value){graph, 0, 0};
    const char *wrong = schedule ? schedule_problem(schedule) : NULL;
    tw_type type = tw_type_of(step);
    if (!wrong && (type.dtype != TW_I64 || type.shape.rank)) wrong = "step is no i64 scalar";
    if (wrong) {
        graph_error(graph, TW_ERR_ARGUMENT, "tw_schedule_factor: %s", wrong);
        return (tw_value){graph, 0, 0};
    }
    settled it = settle(schedule);
    tw_value t = tw_cast(step, TW_F64);
    if (it.s.kind == TW_ONE_CYCLE) return cycle_value(&it, t);
    tw_value factor = decayed_value(&it.s, t);
    if (!it.s.warmup) return factor;
    double warmup = (double)it.s.warmup, start = it.s.start;
    tw_value rising = tw_shift(tw_scale(over(t, warmup), 1 - start), start);
    return tw_select(tw_compare(TW_LT, t, tw_literal(t, warmup)), rising, factor);
}
