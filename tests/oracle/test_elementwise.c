/* Dense layers, products, elementwise functions and the softmax against PyTorch's numbers;
 * scripts/oracle_elementwise.py makes them. */
#include "support/oracle.h"

static const int axes[] = {0}, last[] = {2}, two[] = {2}, one[] = {1};
static const tw_dense_opts relu = {.relu = true}, bare = {.no_bias = true};

/* name of the case and of the builder, and the result */
#define CASES(CASE)                                                                                \
    CASE(neg, tw_neg(x))                                                                           \
    CASE(abs, tw_abs(x))                                                                           \
    CASE(exp, tw_exp(x))                                                                           \
    CASE(expm1, tw_expm1(x))                                                                       \
    CASE(sin, tw_sin(x))                                                                           \
    CASE(cos, tw_cos(x))                                                                           \
    CASE(tanh, tw_tanh(x))                                                                         \
    CASE(sigmoid, tw_sigmoid(x))                                                                   \
    CASE(erf, tw_erf(x))                                                                           \
    CASE(square, tw_square(x))                                                                     \
    CASE(relu, tw_relu(x))                                                                         \
    CASE(log, tw_log(x))                                                                           \
    CASE(log1p, tw_log1p(x))                                                                       \
    CASE(sqrt, tw_sqrt(x))                                                                         \
    CASE(rsqrt, tw_rsqrt(x))                                                                       \
    CASE(sign, tw_sign(x))                                                                         \
    CASE(floor, tw_floor(x))                                                                       \
    CASE(ceil, tw_ceil(x))                                                                         \
    CASE(round, tw_round(x))                                                                       \
    CASE(add, tw_add(x, in[1]))                                                                    \
    CASE(sub, tw_sub(x, in[1]))                                                                    \
    CASE(mul, tw_mul(x, in[1]))                                                                    \
    CASE(div, tw_div(x, in[1]))                                                                    \
    CASE(max, tw_max(x, in[1]))                                                                    \
    CASE(min, tw_min(x, in[1]))                                                                    \
    CASE(pow, tw_pow(x, in[1]))                                                                    \
    CASE(select, tw_select(tw_compare(TW_GT, x, tw_literal(x, 0)), tw_scale(x, 2), in[1]))         \
    CASE(softmax, tw_softmax(x))                                                                   \
    CASE(softmax_large, tw_softmax(x))                                                             \
    CASE(mean_axis, tw_mean_axis(x, 0, false))                                                     \
    CASE(take, tw_take(x, in[1]))                                                                  \
    CASE(take_along, tw_take_along(x, in[1], 1))                                                   \
    CASE(matmul, tw_matmul(x, in[1]))                                                              \
    CASE(dot, tw_dot(x, in[1], 1, axes, two, 1, last, one))                                        \
    CASE(dense, tw_dense(x, "d", 4, NULL))                                                         \
    CASE(dense_time, tw_dense(x, "d", 4, NULL))                                                    \
    CASE(dense_relu, tw_dense(x, "d", 4, &relu))                                                   \
    CASE(dense_no_bias, tw_dense(x, "d", 4, &bare))

#define BUILDER(name, expression)                                                                  \
    static void build_##name(tw_graph *graph, const tw_value *in, tw_value *out,                   \
                             const void *config) {                                                 \
        const tw_value x = in[0];                                                                  \
        (void)graph, (void)config;                                                                 \
        out[0] = expression;                                                                       \
    }
CASES(BUILDER)
#define ROW(name, expression) {#name, build_##name, NULL, false},
static const oracle_case cases[] = {CASES(ROW){NULL, NULL, NULL, false}};

int main(void) { return oracle_main("tests/golden/oracle_elementwise.safetensors", cases); }
