/* The families of the operator table; each file of ops defines one list, ended by NULL. */
#ifndef OPS_FAMILIES_H
#define OPS_FAMILIES_H

#include <thalweg/operator.h>

extern const tw_operator *const ops_state[];   /* input variable constant stop_gradient */
extern const tw_operator *const ops_control[]; /* call checkpoint custom_gradient */
extern const tw_operator *const ops_print[];
extern const tw_operator *const ops_unary[];
extern const tw_operator *const ops_binary[];
extern const tw_operator *const ops_movement[];
extern const tw_operator *const ops_reduction[];
extern const tw_operator *const ops_dot[];
extern const tw_operator *const ops_conv[];
extern const tw_operator *const ops_window[];
extern const tw_operator *const ops_index[];
extern const tw_operator *const ops_clamp[];
extern const tw_operator *const ops_cumulative[];
extern const tw_operator *const ops_sort[];    /* sort top_k */
extern const tw_operator *const ops_dynamic[]; /* dynamic_slice dynamic_update_slice */
extern const tw_operator *const ops_random[];
extern const tw_operator
    *const ops_composite[]; /* relu loss softmax cross entropy conv_bias pools */
extern const tw_operator *const ops_activation[];
extern const tw_operator *const ops_normalization[];
extern const tw_operator *const ops_attention[]; /* attention, its gradient */
extern const tw_operator *const ops_logsumexp[]; /* logsumexp log_softmax */
extern const tw_operator *const ops_binary_cross_entropy[];
extern const tw_operator *const ops_update[];   /* sgd momentum adam amsgrad lion average */
extern const tw_operator *const ops_adaptive[]; /* adagrad rmsprop lamb adafactor */

/* Registers them all. */
tw_status ops_register(tw_context *context);

#endif
