/* Registers the built-in operators. */
#include "ops/families.h"

tw_status ops_register(tw_context *context) {
    static const tw_operator *const *const families[] = {
        ops_state,     ops_control,    ops_print,         ops_unary,
        ops_binary,    ops_movement,   ops_reduction,     ops_dot,
        ops_conv,      ops_window,     ops_index,         ops_random,
        ops_composite, ops_activation, ops_normalization, ops_binary_cross_entropy,
        ops_clamp,     ops_cumulative, ops_sort,          ops_dynamic,
        ops_attention, ops_logsumexp,  ops_adaptive,      ops_update};
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        for (int i = 0; families[f][i]; i++) {
            tw_status status = tw_register(context, families[f][i]);
            if (status) return status;
        }
    }
    return TW_OK;
}
