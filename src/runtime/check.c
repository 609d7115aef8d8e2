/* Check mode: faults of an array, and the message that names their origin. */
#include "runtime/check.h"

#include <math.h>

#include "base/text.h"
#include "ir/dimension.h"
#include "ops/rules.h"
#include "runtime/tensor.h"

/* What an array holds. Firsts are row-major indices, -1 for none. */
typedef struct faults {
    int64_t nans, infinities, first_nan, first_infinity;
    double least, most; /* of the finite elements */
} faults;

static faults find_faults(tw_type type, const void *data) {
    faults found = {.first_nan = -1, .first_infinity = -1, .least = INFINITY, .most = -INFINITY};
    int64_t elements = data && type_in(type.dtype, TYPES_FLOAT) ? shape_elements(type.shape) : 0;
    for (int64_t i = 0; i < elements; i++) {
        double x = element_read(type.dtype, data, i);
        if (isnan(x)) {
            if (!found.nans++) found.first_nan = i;
        } else if (isinf(x)) {
            if (!found.infinities++) found.first_infinity = i;
        } else {
            found.least = fmin(found.least, x);
            found.most = fmax(found.most, x);
        }
    }
    return found;
}

/* "[3,2]" of element i. */
static void add_index(text *out, tw_shape shape, int64_t i) {
    int64_t index[TW_MAX_RANK];
    for (int axis = shape.rank; axis-- > 0; i /= shape.dim[axis]) index[axis] = i % shape.dim[axis];
    text_add(out, "[");
    for (int axis = 0; axis < shape.rank; axis++)
        text_add(out, "%s%lld", axis ? "," : "", (long long)index[axis]);
    text_add(out, "]");
}

static void add_fault(text *out, tw_context *context, tw_type type, bool nan, const faults *f) {
    int64_t count = nan ? f->nans : f->infinities;
    text_add(out, "%s at ", nan ? "a NaN" : "an infinity");
    add_index(out, type.shape, nan ? f->first_nan : f->first_infinity);
    text_add(out, " of ");
    type_print(context, type, out);
    if (count > 1) text_add(out, " and %lld more", (long long)(count - 1));
}

/* "operand 0, f32[2,3], is -1.5 to 2" for those that are floats. */
static void add_operands(text *out, const tw_signature *signature, const void *const *in) {
    for (int i = 0; i < signature->n_operands; i++) {
        tw_type type = signature->operand[i];
        if (!in[i] || !type_in(type.dtype, TYPES_FLOAT)) continue;
        faults f = find_faults(type, in[i]);
        text_add(out, "; operand %d, ", i);
        type_print(signature->context, type, out);
        if (f.least <= f.most) text_add(out, ", is %g to %g", f.least, f.most);
        if (f.infinities) text_add(out, " with %lld infinities", (long long)f.infinities);
    }
}

static tw_status report(const tw_kernel_call *call, const char *scope, const char *source,
                        int result, bool nan, const faults *f) {
    const tw_signature *signature = &call->signature;
    text words = {.context = signature->context};
    text_add(&words, "%s in %s", signature->op->name, scope && *scope ? scope : "the top scope");
    if (source) text_add(&words, " at %s", source);
    text_add(&words, " makes ");
    add_fault(&words, signature->context, signature->result[result], nan, f);
    add_operands(&words, signature, call->in);
    tw_status status = context_error(signature->context, TW_ERR_NUMBER, "%s",
                                     words.failed ? signature->op->name : words.at);
    text_drop(&words);
    return status;
}

tw_status check_call(const tw_kernel_call *call, const char *scope, const char *source) {
    const tw_signature *signature = &call->signature;
    for (int i = 0; i < signature->n_results; i++) {
        faults made = find_faults(signature->result[i], call->out[i]);
        if (!made.nans && !made.infinities) continue;
        bool nan = made.nans > 0, known = false;
        for (int k = 0; k < signature->n_operands; k++) {
            faults given = find_faults(signature->operand[k], call->in[k]);
            known = known || given.nans || (!nan && given.infinities);
        }
        if (!known) return report(call, scope, source, i, nan, &made);
    }
    return TW_OK;
}

tw_status check_data(tw_context *context, const char *kind, const char *name, tw_type type,
                     const void *data) {
    faults found = find_faults(type, data);
    if (!found.nans) return TW_OK;
    text words = {.context = context};
    add_fault(&words, context, type, true, &found);
    tw_status status = context_error(context, TW_ERR_NUMBER, "%s \"%s\" holds %s", kind, name,
                                     words.failed ? "a NaN" : words.at);
    text_drop(&words);
    return status;
}
