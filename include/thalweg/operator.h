/*
 * The operator table's entry: everything that the system knows of an operator, in one place.
 * The built-in operators (src/ops) and a user's own are the same struct.
 */
#ifndef THALWEG_OPERATOR_H
#define THALWEG_OPERATOR_H

#include <thalweg/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { TW_MAX_OPERANDS = 32, TW_MAX_RESULTS = 16, TW_MAX_FACTORS = 64 };

typedef enum tw_attr_kind {
    TW_ATTR_INT = 1,
    TW_ATTR_FLOAT,
    TW_ATTR_BOOL,
    TW_ATTR_DTYPE,  /* with the fallback "same" it may be 0, for the type of operand 0 */
    TW_ATTR_CHOICE, /* one of the words in `choices`, as its number from 0 */
    TW_ATTR_INTS,   /* up to TW_MAX_RANK integers */
    TW_ATTR_DIMS,   /* a shape; extents may be symbolic */
    TW_ATTR_STRING,
    TW_ATTR_FUNCTION, /* a function of the module */
    TW_ATTR_DATA      /* elements of a constant */
} tw_attr_kind;

typedef struct tw_attr_spec {
    const char *name;
    tw_attr_kind kind;
    const char
        *fallback; /* the default in the text form ("[]", "1", "same"; a STRING without quotes);
                           * NULL: required */
    const char *choices; /* TW_ATTR_CHOICE: words with single spaces between */
    const char *doc;
} tw_attr_spec;

/* A value for each spec, in the spec's order. */
typedef struct tw_attr {
    int64_t i;          /* INT, BOOL, DTYPE, CHOICE; the number of elements of INTS */
    double f;           /* FLOAT */
    tw_shape list;      /* INTS (rank = number), DIMS */
    const char *string; /* STRING */
    tw_graph *function; /* FUNCTION */
    const void *data;   /* DATA: dense elements */
    size_t bytes;       /* DATA */
} tw_attr;

typedef struct tw_operator tw_operator;

/* One use of an operator: what infer, factors, cost and kernels look at. In kernels and in cost
 * every extent is a number; in infer an extent may be a handle (see tw_dim_*). */
typedef struct tw_signature {
    tw_context *context;
    const tw_operator *op;
    int n_operands, n_results;
    const tw_type *operand;
    tw_type *result; /* infer fills it */
    const tw_attr *attr;
} tw_signature;

/* Fails the inference: what was given, what was expected, what to do. The library puts operator,
 * operands, shapes and scope in front. Gives `status`. */
TW_API tw_status tw_refuse(const tw_signature *signature, tw_status status, const char *format, ...)
    TW_PRINTF(3, 4);

/* Arithmetic on extents that may be handles. A result that does not exist (overflow, a division
 * that is not exact) is TW_DIM_NONE. */
#define TW_DIM_NONE INT64_MIN
TW_API int64_t tw_dim_add(tw_context *context, int64_t a, int64_t b);
TW_API int64_t tw_dim_sub(tw_context *context, int64_t a, int64_t b);
TW_API int64_t tw_dim_mul(tw_context *context, int64_t a, int64_t b);
TW_API int64_t tw_dim_div(tw_context *context, int64_t a, int64_t b);
/* The product of shape.dim[from..to-1]. */
TW_API int64_t tw_dim_product(tw_context *context, tw_shape shape, int from, int to);

/* What a gradient rule is given, and fills. */
typedef struct tw_vjp {
    int n_operands, n_results;
    const tw_value *operand, *result;
    const tw_value *d_result; /* an absent value is zero */
    const tw_attr *attr;
    const tw_type *operand_type;
    const bool *wanted;  /* by operand; a rule may leave the others absent */
    tw_value *d_operand; /* to fill; an absent value is zero */
} tw_vjp;

/*
 * What a batch rule is given, and fills: the operator for `size` examples at once. A batched
 * operand carries the examples as one more axis, axis 0; the others have none. Every result gets
 * them as axis 0. `size` may be a handle. A composite's rule may leave all results absent: then its
 * body is batched.
 */
typedef struct tw_batch {
    const tw_operator *op;
    int n_operands, n_results;
    int64_t size;
    const tw_value *operand;
    const bool *batched;         /* by operand; at least one is */
    const tw_type *operand_type; /* without the axis of examples */
    const tw_attr *attr;
    tw_value *result; /* to fill */
} tw_batch;

/*
 * How a dimension may be cut (DESIGN of intra-operator parallelism). Each factor names the
 * dimension it belongs to in every operand and result, -1 where it has none. A dimension made
 * of several factors lists them major to minor, in the order of the array. With more than
 * TW_FACTOR_OPERANDS operands, each further one is as the last.
 */
enum { TW_FACTOR_OPERANDS = 12 };
typedef enum tw_factor_kind {
    TW_FACTOR_PASS = 1,  /* cut in operands and results alike; a result without it is whole */
    TW_FACTOR_REDUCE,    /* cut in operands; a result without it is partial (sum, max, ...) */
    TW_FACTOR_REPLICATE, /* cannot be cut */
    TW_FACTOR_PERMUTE,   /* a cut gives the right pieces, the last one first (reverse) */
    /* A cut of the results: the piece from a to b - 1 needs the operand from a stride - low to
     * (b - 1) stride + high, and what of it lies outside the operand as padding of its own. */
    TW_FACTOR_HALO
} tw_factor_kind;
typedef enum tw_reduction { TW_SUM = 1, TW_MAX, TW_MIN, TW_PROD } tw_reduction;
/* The attributes that a piece has of its own: each is its number plus 1, 0 for none. Of a list it
 * is the entry `entry`; a list that is empty stands for zeros (of `whole`: for that of `extent`). */
typedef struct tw_factor_attr {
    int8_t entry;
    int8_t extent;    /* states the extent of the dimension; an integer: the factor's size */
    int8_t start;     /* an integer or list: what the piece's first place adds to */
    int8_t whole;     /* a list: the extent before the cut */
    int8_t low, high; /* TW_FACTOR_HALO: padding */
} tw_factor_attr;
typedef struct tw_factor {
    tw_factor_kind kind;
    int64_t size;
    tw_reduction reduction;
    int64_t low, high, stride, dilation;
    int8_t operand[TW_FACTOR_OPERANDS], result[TW_MAX_RESULTS];
    tw_factor_attr attr;
} tw_factor;

typedef struct tw_cost {
    double flops, bytes;
} tw_cost;

/* One strided copy of an index map: out[out_start + sum i*out_step] = operand[in_start + sum
 * i*in_step] for each i in the box `extent`. */
typedef struct tw_piece {
    int operand, rank;
    int64_t extent[TW_MAX_RANK], out_step[TW_MAX_RANK], in_step[TW_MAX_RANK];
    int64_t out_start, in_start;
} tw_piece;

/* One call of a kernel. Data is dense and row-major. */
typedef struct tw_kernel_call {
    tw_signature signature;
    const void *const *in;
    void *const *out;
    const void *kept; /* the library's own: what it made ready for all calls of this signature */
} tw_kernel_call;
/* TW_ERR_INDEX for an index past the end; tw_refuse gives the message. */
typedef tw_status (*tw_kernel)(const tw_kernel_call *call);

/* A TW_MEANS_SCALAR operator has one result and 1 to TW_SCALAR_OPERANDS operands, none of them
 * optional ("x?") or open ("x..."); tw_register refuses others. */
enum { TW_SCALAR_OPERANDS = 4 };
/* `count` elements: out[i] = f(in[0][i*step[0]], ...); results are dense. */
typedef void (*tw_scalar_kernel)(int64_t count, void *out, const void *const *in,
                                 const int64_t *step, const tw_attr *attr);

/* The C expression that a scalar kernel is made of, from which other code for it is made: of operands
 * named in `names` ("a b"); or, where an attribute chooses among kernels, theirs by attr[0].i. */
typedef struct tw_scalar_text tw_scalar_text;
struct tw_scalar_text {
    const char *names, *expression;
    const tw_scalar_text *const *by_attribute; /* n of them; an absent one has no text */
    int n;
};

typedef enum tw_meaning {
    TW_MEANS_SCALAR = 1, /* `scalar`: an expression of one element of each operand */
    TW_MEANS_MAP,        /* `map`: strided copies, in order; with `fills` the scalar first */
    TW_MEANS_LOOPS,      /* `kernel`: a loop nest */
    TW_MEANS_BODY,       /* `body`: a graph of primitives */
    TW_MEANS_STATE       /* input, variable, constant, call: the runtime's own */
} tw_meaning;

/* A sample: operands in the text form ("f64[2,3] i32[4]"), attributes ("axes=[0]"), and the
 * values to draw. Zeros: floats in [-2, 2], integers in [0, 3]. */
typedef struct tw_sample {
    const char *operands, *attributes;
    double low, high;
    int64_t index_low, index_high; /* integers are drawn from index_low..index_high */
    bool distinct;                 /* all floats at least 0.01 apart (ties are kinks) */
    bool kink_at_zero;             /* keep floats at least 0.05 away from zero */
    bool kink_at_integers;         /* ... from every integer */
} tw_sample;

struct tw_operator {
    const char *name;
    const char *formula;            /* one line for the reference page */
    const char *semantics;          /* NaN, ties, index range, overflow, empty: as they apply */
    const char *operands;           /* names: "x w bias?"; "x..." is one or more */
    const char *results;            /* names, those of residuals in parentheses: "y (index)" */
    const tw_attr_spec *attributes; /* ends with a NULL name; NULL for none */
    tw_status (*infer)(tw_signature *signature); /* composites: NULL, it follows from the body */
    void (*vjp)(tw_graph *graph, tw_vjp *rule);
    const char *no_vjp; /* why there is none; needed where vjp is NULL */
    /* The rule for one more axis (vmap). NULL: composites, whose body has rules; operators without
     * operands. */
    void (*batch)(tw_graph *graph, tw_batch *rule);
    int (*factors)(const tw_signature *signature, tw_factor *out); /* composites: NULL */
    void (*cost)(const tw_signature *signature, tw_cost *out);     /* composites: NULL */
    tw_meaning meaning;
    tw_scalar_kernel scalar[TW_F64 + 1];           /* by type of operand 0 (operand 1 for select) */
    const tw_scalar_text *scalar_text[TW_F64 + 1]; /* of `scalar`; NULL: the kernel alone knows */
    int (*map)(const tw_signature *signature, int capacity, tw_piece *out);
    bool fills;
    bool effect; /* runs though nothing reads its results (print) */
    tw_kernel kernel;
    /* `kernel` reads and writes f16 and bf16 itself. Otherwise what computes an operator (scalar,
     * kernel, body) is given f32 for them, and its results are rounded, once, to their type. */
    bool halves;
    bool
        whole; /* a composite that a kernel computes better than its body's loops: passes keep it */
    void (*body)(tw_graph *graph, const tw_signature *signature, const tw_value *in, tw_value *out);
    const tw_sample *samples; /* ends with NULL operands */
    const char *no_samples;   /* why there are none */
    /* Bytes that `kernel` takes by tw_workspace, for known extents, so that programs plan them; NULL:
     * not known before it runs. */
    size_t (*workspace)(const tw_signature *signature);
};

/* Memory of a kernel's own until it returns, 64-aligned, not cleared; NULL when it is out. */
TW_API void *tw_workspace(const tw_kernel_call *call, size_t bytes);

/* Adds an operator to the context; the struct must outlive it. Refuses a name that is taken and
 * an entry with a missing field. */
TW_API tw_status tw_register(tw_context *context, const tw_operator *op);
TW_API const tw_operator *tw_operator_find(const tw_context *context, const char *name);
/* The i-th operator, NULL past the end. */
TW_API const tw_operator *tw_operator_at(const tw_context *context, int i);

/*
 * Appends a node. attr has one entry for each spec, or is NULL for all defaults. results may be
 * NULL; the first result is returned.
 */
TW_API tw_value tw_apply(tw_graph *graph, const char *name, int n, const tw_value *operands,
                         const tw_attr *attr, tw_value *results);

static inline tw_attr tw_attr_int(int64_t i) {
    const tw_attr a = {i, 0, {0, 0, {0}}, NULL, NULL, NULL, 0};
    return a;
}
static inline tw_attr tw_attr_float(double f) {
    const tw_attr a = {0, f, {0, 0, {0}}, NULL, NULL, NULL, 0};
    return a;
}
static inline tw_attr tw_attr_dims(tw_shape list) {
    const tw_attr a = {list.rank, 0, list, NULL, NULL, NULL, 0};
    return a;
}

#ifdef __cplusplus
}
#endif
#endif
