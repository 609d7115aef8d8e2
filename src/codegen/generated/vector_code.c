/* Scalar expressions as LLVM IR. */
#include "codegen/generated/vector_code.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/elementary_pieces.h"

uint32_t vector_fresh(vector_code *c) { return c->next++; }

static bool is_float(scalar_type type) { return type == SCALAR_F32 || type == SCALAR_F64; }
static bool is_signed(scalar_type type) { return type == SCALAR_I32 || type == SCALAR_I64; }

static int bits_of(scalar_type type) {
    switch (type) {
    case SCALAR_BOOL: return 1;
    case SCALAR_U8: return 8;
    case SCALAR_I64:
    case SCALAR_U64:
    case SCALAR_F64: return 64;
    default: return 32;
    }
}

static const char *element_name(scalar_type type) {
    switch (type) {
    case SCALAR_BOOL: return "i1";
    case SCALAR_U8: return "i8";
    case SCALAR_I32:
    case SCALAR_U32: return "i32";
    case SCALAR_I64:
    case SCALAR_U64: return "i64";
    case SCALAR_F32: return "float";
    default: return "double";
    }
}

type_name vector_type(const vector_code *c, scalar_type type, bool vector) {
    type_name name;
    if (vector)
        snprintf(name.at, sizeof name.at, "<%d x %s>", c->lanes, element_name(type));
    else
        snprintf(name.at, sizeof name.at, "%s", element_name(type));
    return name;
}

constant_text vector_constant(scalar_type type, bool vector, double number, int64_t integer) {
    char one[40];
    constant_text made;
    if (is_float(type)) {
        /* Both float types are written as the bits of a double. */
        double exact = type == SCALAR_F32 ? (double)(float)number : number;
        uint64_t bits;
        memcpy(&bits, &exact, sizeof bits);
        snprintf(one, sizeof one, "0x%016" PRIX64, bits);
    } else {
        snprintf(one, sizeof one, "%" PRId64, integer);
    }
    if (vector)
        snprintf(made.at, sizeof made.at, "splat (%s %s)", element_name(type), one);
    else
        snprintf(made.at, sizeof made.at, "%s", one);
    return made;
}

uint32_t vector_number(vector_code *c, scalar_type type, bool vector, double number) {
    uint32_t made = vector_fresh(c);
    int64_t integer = type == SCALAR_BOOL ? number != 0 : is_float(type) ? 0 : (int64_t)number;
    type_name name = vector_type(c, type, vector);
    text_add(c->out, "  %%t%u = bitcast %s %s to %s\n", made, name.at,
             vector_constant(type, vector, number, integer).at, name.at);
    return made;
}

uint32_t vector_splat(vector_code *c, scalar_type type, uint32_t value) {
    type_name one = vector_type(c, type, false), all = vector_type(c, type, true);
    uint32_t first = vector_fresh(c), made = vector_fresh(c);
    text_add(c->out, "  %%t%u = insertelement %s poison, %s %%t%u, i64 0\n", first, all.at, one.at,
             value);
    text_add(c->out, "  %%t%u = shufflevector %s %%t%u, %s poison, <%d x i32> zeroinitializer\n",
             made, all.at, first, all.at, c->lanes);
    return made;
}

/* ---- steps ---- */

typedef struct steps {
    vector_code *code;
    const expression *expression;
    bool vector;
    const uint32_t *in;
    uint32_t *value; /* by step */
} steps;

static const expression_step *at(const steps *s, uint32_t i) { return &s->expression->step[i]; }

static uint32_t binary(steps *s, const char *operation, scalar_type type, uint32_t a, uint32_t b) {
    uint32_t made = vector_fresh(s->code);
    text_add(s->code->out, "  %%t%u = %s %s %%t%u, %%t%u\n", made, operation,
             vector_type(s->code, type, s->vector).at, a, b);
    return made;
}

static uint32_t intrinsic(steps *s, const char *name, scalar_type type, int n,
                          const uint32_t *operand) {
    uint32_t made = vector_fresh(s->code);
    type_name of = vector_type(s->code, type, s->vector);
    char suffix[24];
    const char *kind = type == SCALAR_F32 ? "f32" : "f64";
    if (s->vector)
        snprintf(suffix, sizeof suffix, "v%d%s", s->code->lanes, kind);
    else
        snprintf(suffix, sizeof suffix, "%s", kind);
    text_add(s->code->out, "  %%t%u = call %s @llvm.%s.%s(", made, of.at, name, suffix);
    for (int i = 0; i < n; i++)
        text_add(s->code->out, "%s%s %%t%u", i ? ", " : "", of.at, operand[i]);
    text_add(s->code->out, ")\n");
    return made;
}

static uint32_t convert_text(steps *s, const char *how, scalar_type from, scalar_type to,
                             uint32_t a) {
    uint32_t made = vector_fresh(s->code);
    text_add(s->code->out, "  %%t%u = %s %s %%t%u to %s\n", made, how,
             vector_type(s->code, from, s->vector).at, a, vector_type(s->code, to, s->vector).at);
    return made;
}

static uint32_t convert(steps *s, scalar_type from, scalar_type to, uint32_t a) {
    int have = bits_of(from), want = bits_of(to);
    bool natural = is_signed(from);
    if (from == to) return a;
    if (to == SCALAR_BOOL) {
        uint32_t made = vector_fresh(s->code);
        type_name name = vector_type(s->code, from, s->vector);
        text_add(s->code->out, "  %%t%u = %s %s %%t%u, %s\n", made,
                 is_float(from) ? "fcmp une" : "icmp ne", name.at, a,
                 vector_constant(from, s->vector, 0, 0).at);
        return made;
    }
    if (is_float(from) && is_float(to))
        return convert_text(s, have < want ? "fpext" : "fptrunc", from, to, a);
    if (is_float(to)) return convert_text(s, natural ? "sitofp" : "uitofp", from, to, a);
    if (is_float(from)) return convert_text(s, is_signed(to) ? "fptosi" : "fptoui", from, to, a);
    if (have == want) return a;
    return convert_text(s, have > want ? "trunc" : natural ? "sext" : "zext", from, to, a);
}

/* Division by 0 and of the least number by -1 would trap, selected or not: those lanes divide by 1. */
static uint32_t safe_divisor(steps *s, scalar_type type, uint32_t b) {
    type_name name = vector_type(s->code, type, s->vector),
              truth = vector_type(s->code, SCALAR_BOOL, s->vector);
    text *out = s->code->out;
    uint32_t zero = vector_fresh(s->code), bad = zero;
    text_add(out, "  %%t%u = icmp eq %s %%t%u, %s\n", zero, name.at, b,
             vector_constant(type, s->vector, 0, 0).at);
    if (is_signed(type)) {
        uint32_t minus = vector_fresh(s->code);
        text_add(out, "  %%t%u = icmp eq %s %%t%u, %s\n", minus, name.at, b,
                 vector_constant(type, s->vector, 0, -1).at);
        bad = vector_fresh(s->code);
        text_add(out, "  %%t%u = or %s %%t%u, %%t%u\n", bad, truth.at, zero, minus);
    }
    uint32_t made = vector_fresh(s->code);
    text_add(out, "  %%t%u = select %s %%t%u, %s %s, %s %%t%u\n", made, truth.at, bad, name.at,
             vector_constant(type, s->vector, 0, 1).at, name.at, b);
    return made;
}

/* No product is contracted with a sum: an operator's bits don't depend on what it is fused with. */
static uint32_t arithmetic(steps *s, const expression_step *it, uint32_t a, uint32_t b) {
    bool f = is_float(it->type), sign = is_signed(it->type);
    switch (it->code) {
    case EXPRESSION_ADD: return binary(s, f ? "fadd" : "add", it->type, a, b);
    case EXPRESSION_SUB: return binary(s, f ? "fsub" : "sub", it->type, a, b);
    case EXPRESSION_MUL: return binary(s, f ? "fmul" : "mul", it->type, a, b);
    case EXPRESSION_DIV:
        if (f) return binary(s, "fdiv", it->type, a, b);
        return binary(s, sign ? "sdiv" : "udiv", it->type, a, safe_divisor(s, it->type, b));
    case EXPRESSION_REM:
        return binary(s, sign ? "srem" : "urem", it->type, a, safe_divisor(s, it->type, b));
    case EXPRESSION_AND: return binary(s, "and", it->type, a, b);
    case EXPRESSION_OR: return binary(s, "or", it->type, a, b);
    case EXPRESSION_XOR: return binary(s, "xor", it->type, a, b);
    case EXPRESSION_SHIFT_LEFT: return binary(s, "shl", it->type, a, b);
    default: return binary(s, sign ? "ashr" : "lshr", it->type, a, b);
    }
}

static uint32_t compare(steps *s, expression_code code, scalar_type type, uint32_t a, uint32_t b) {
    static const char *const words[][3] = {{"oeq", "eq", "eq"},   {"une", "ne", "ne"},
                                           {"olt", "slt", "ult"}, {"ole", "sle", "ule"},
                                           {"ogt", "sgt", "ugt"}, {"oge", "sge", "uge"}};
    const char *word = words[code - EXPRESSION_EQ][is_float(type) ? 0 : is_signed(type) ? 1 : 2];
    uint32_t made = vector_fresh(s->code);
    text_add(s->code->out, "  %%t%u = %s %s %s %%t%u, %%t%u\n", made,
             is_float(type) ? "fcmp" : "icmp", word, vector_type(s->code, type, s->vector).at, a,
             b);
    return made;
}

static uint32_t negated(steps *s, const expression_step *it, uint32_t a) {
    uint32_t made = vector_fresh(s->code);
    type_name name = vector_type(s->code, it->type, s->vector);
    if (it->code == EXPRESSION_NOT)
        text_add(s->code->out, "  %%t%u = xor %s %%t%u, %s\n", made, name.at, a,
                 vector_constant(it->type, s->vector, 0, it->type == SCALAR_BOOL ? 1 : -1).at);
    else if (is_float(it->type))
        text_add(s->code->out, "  %%t%u = fneg %s %%t%u\n", made, name.at, a);
    else
        text_add(s->code->out, "  %%t%u = sub %s %s, %%t%u\n", made, name.at,
                 vector_constant(it->type, s->vector, 0, 0).at, a);
    return made;
}

static uint32_t selected(steps *s, const expression_step *it) {
    uint32_t made = vector_fresh(s->code);
    type_name name = vector_type(s->code, it->type, s->vector);
    text_add(s->code->out, "  %%t%u = select %s %%t%u, %s %%t%u, %s %%t%u\n", made,
             vector_type(s->code, SCALAR_BOOL, s->vector).at, s->value[it->a], name.at,
             s->value[it->b], name.at, s->value[it->c]);
    return made;
}

static uint32_t called(steps *s, const expression_step *it) {
    uint32_t operand[3] = {s->value[it->a], 0, 0};
    switch (it->code) {
    case EXPRESSION_FMA:
        operand[1] = s->value[it->b], operand[2] = s->value[it->c];
        return intrinsic(s, "fma", it->type, 3, operand);
    case EXPRESSION_ABS: return intrinsic(s, "fabs", it->type, 1, operand);
    case EXPRESSION_SQRT: return intrinsic(s, "sqrt", it->type, 1, operand);
    case EXPRESSION_FLOOR: return intrinsic(s, "floor", it->type, 1, operand);
    case EXPRESSION_CEIL: return intrinsic(s, "ceil", it->type, 1, operand);
    case EXPRESSION_RINT: return intrinsic(s, "rint", it->type, 1, operand);
    default: operand[1] = s->value[it->b]; return intrinsic(s, "copysign", it->type, 2, operand);
    }
}

/* ---- several registers ---- */

enum { MOST_PARTS = 8 };

static int register_lanes(const vector_code *c) { return c->lanes >> c->split; }

/* Lanes first..first+count-1 of a and b, which have n each; b may be 0. */
static uint32_t shuffled(vector_code *c, scalar_type type, int n, uint32_t a, uint32_t b, int first,
                         int count) {
    uint32_t made = vector_fresh(c);
    const char *element = element_name(type);
    text_add(c->out, "  %%t%u = shufflevector <%d x %s> %%t%u, <%d x %s> ", made, n, element, a, n,
             element);
    if (b)
        text_add(c->out, "%%t%u", b);
    else
        text_add(c->out, "poison");
    text_add(c->out, ", <%d x i32> <", count);
    for (int i = 0; i < count; i++) text_add(c->out, "%si32 %d", i ? ", " : "", first + i);
    text_add(c->out, ">\n");
    return made;
}

/* Register k of a vector. */
static uint32_t part_of(vector_code *c, scalar_type type, uint32_t value, int k) {
    int lanes = register_lanes(c);
    return c->split ? shuffled(c, type, c->lanes, value, 0, k * lanes, lanes) : value;
}

/* The vector of these registers, by pairs. */
static uint32_t joined(vector_code *c, scalar_type type, uint32_t *part) {
    int lanes = register_lanes(c);
    for (int count = 1 << c->split; count > 1; count /= 2, lanes *= 2)
        for (int k = 0; k < count / 2; k++)
            part[k] = shuffled(c, type, lanes, part[2 * k], part[2 * k + 1], 0, 2 * lanes);
    return part[0];
}

/* ---- what is an instruction of one register ---- */

/* a 2^b: an instruction of AVX-512; else two multiplications, as base/elementary.h has it. */
static uint32_t scale(steps *s, uint32_t a, uint32_t b) {
    text *out = s->code->out;
    type_name f = vector_type(s->code, SCALAR_F32, s->vector),
              i = vector_type(s->code, SCALAR_I32, s->vector);
    if (s->vector && register_lanes(s->code) == 16) {
        uint32_t part[MOST_PARTS];
        for (int k = 0; k < 1 << s->code->split; k++) {
            uint32_t y = part_of(s->code, SCALAR_F32, a, k), n = part_of(s->code, SCALAR_F32, b, k);
            part[k] = vector_fresh(s->code);
            text_add(out,
                     "  %%t%u = call <16 x float> @llvm.x86.avx512.mask.scalef.ps.512(<16 x float> "
                     "%%t%u, <16 x float> %%t%u, <16 x float> zeroinitializer, i16 -1, i32 4)\n",
                     part[k], y, n);
        }
        return joined(s->code, SCALAR_F32, part);
    }
    constant_text magic = vector_constant(SCALAR_F32, s->vector, 0x1.8p23, 0),
                  magic_bits = vector_constant(SCALAR_I32, s->vector, 0, 0x4b400000),
                  one = vector_constant(SCALAR_I32, s->vector, 0, 1);
    constant_text bias = vector_constant(SCALAR_I32, s->vector, 0, 127),
                  places = vector_constant(SCALAR_I32, s->vector, 0, 23);
    uint32_t t = s->code->next;
    s->code->next += 5;
    text_add(out, "  %%t%u = fadd %s %%t%u, %s\n", t, f.at, b, magic.at);
    text_add(out, "  %%t%u = bitcast %s %%t%u to %s\n", t + 1, f.at, t, i.at);
    text_add(out, "  %%t%u = sub %s %%t%u, %s\n", t + 2, i.at, t + 1, magic_bits.at);
    text_add(out, "  %%t%u = ashr %s %%t%u, %s\n", t + 3, i.at, t + 2, one.at);
    text_add(out, "  %%t%u = sub %s %%t%u, %%t%u\n", t + 4, i.at, t + 2, t + 3);
    for (uint32_t half = t + 3; half <= t + 4; half++) {
        uint32_t power = s->code->next;
        s->code->next += 4;
        text_add(out, "  %%t%u = add %s %%t%u, %s\n", power, i.at, half, bias.at);
        text_add(out, "  %%t%u = shl %s %%t%u, %s\n", power + 1, i.at, power, places.at);
        text_add(out, "  %%t%u = bitcast %s %%t%u to %s\n", power + 2, i.at, power + 1, f.at);
        text_add(out, "  %%t%u = fmul %s %%t%u, %%t%u\n", power + 3, f.at, a, power + 2);
        a = power + 3;
    }
    return a;
}

/* "<16 x float> <float 0x..., ...>": `count` numbers of a table. */
static void add_numbers(text *out, const float *number, int count) {
    text_add(out, "<%d x float> <", count);
    for (int i = 0; i < count; i++)
        text_add(out, "%sfloat %s", i ? ", " : "",
                 vector_constant(SCALAR_F32, false, (double)number[i], 0).at);
    text_add(out, ">");
}

/* Lane by lane, where the CPU has no instruction for it. */
static uint32_t look_up_one(steps *s, const float *table, uint32_t index) {
    text *out = s->code->out;
    uint32_t low = vector_fresh(s->code), made = vector_fresh(s->code);
    text_add(out, "  %%t%u = and i32 %%t%u, %d\n", low, index, PIECES - 1);
    text_add(out, "  %%t%u = extractelement ", made);
    add_numbers(out, table, PIECES);
    text_add(out, ", i32 %%t%u\n", low);
    return made;
}

/* AVX2 looks up 8 numbers by three bits; two more choose among the eights. */
static uint32_t look_up_eights(steps *s, const float *table, uint32_t index) {
    text *out = s->code->out;
    uint32_t part[4];
    for (int k = 0; k < 4; k++) {
        part[k] = vector_fresh(s->code);
        text_add(out, "  %%t%u = call <8 x float> @llvm.x86.avx2.permps(", part[k]);
        add_numbers(out, table + 8 * k, 8);
        text_add(out, ", <8 x i32> %%t%u)\n", index);
    }
    for (int bit = 8, count = 2; count > 0; bit *= 2, count /= 2) {
        uint32_t masked = vector_fresh(s->code), chosen = vector_fresh(s->code);
        text_add(out, "  %%t%u = and <8 x i32> %%t%u, splat (i32 %d)\n", masked, index, bit);
        text_add(out, "  %%t%u = icmp ne <8 x i32> %%t%u, zeroinitializer\n", chosen, masked);
        for (int k = 0; k < count; k++) {
            uint32_t made = vector_fresh(s->code);
            text_add(out, "  %%t%u = select <8 x i1> %%t%u, <8 x float> %%t%u, <8 x float> %%t%u\n",
                     made, chosen, part[2 * k + 1], part[2 * k]);
            part[k] = made;
        }
    }
    return part[0];
}

/* One register's. */
static uint32_t look_up_part(steps *s, const float *table, uint32_t index) {
    text *out = s->code->out;
    int lanes = register_lanes(s->code);
    if (lanes == 8) return look_up_eights(s, table, index);
    uint32_t made = vector_fresh(s->code);
    if (lanes == 16) {
        text_add(out, "  %%t%u = call <16 x float> @llvm.x86.avx512.vpermi2var.ps.512(", made);
        add_numbers(out, table, 16);
        text_add(out, ", <16 x i32> %%t%u, ", index);
        add_numbers(out, table + 16, 16);
        text_add(out, ")\n");
        return made;
    }
    text_add(out, "  %%t%u = bitcast <%d x float> zeroinitializer to <%d x float>\n", made, lanes,
             lanes);
    for (int lane = 0; lane < lanes; lane++) {
        uint32_t one = vector_fresh(s->code);
        text_add(out, "  %%t%u = extractelement <%d x i32> %%t%u, i32 %d\n", one, lanes, index,
                 lane);
        uint32_t number = look_up_one(s, table, one), before = made;
        made = vector_fresh(s->code);
        text_add(out, "  %%t%u = insertelement <%d x float> %%t%u, float %%t%u, i32 %d\n", made,
                 lanes, before, number, lane);
    }
    return made;
}

static uint32_t look_up(steps *s, const float *table, uint32_t index) {
    uint32_t part[MOST_PARTS];
    if (!s->vector) return look_up_one(s, table, index);
    for (int k = 0; k < 1 << s->code->split; k++)
        part[k] = look_up_part(s, table, part_of(s->code, SCALAR_I32, index, k));
    return joined(s->code, SCALAR_F32, part);
}

static uint32_t step(steps *s, const expression_step *it) {
    switch (it->code) {
    case EXPRESSION_INPUT: return s->in[it->a];
    case EXPRESSION_NUMBER: {
        uint32_t made = vector_fresh(s->code);
        type_name name = vector_type(s->code, it->type, s->vector);
        constant_text number = vector_constant(it->type, s->vector, it->number, it->integer);
        text_add(s->code->out, "  %%t%u = bitcast %s %s to %s\n", made, name.at, number.at,
                 name.at);
        return made;
    }
    case EXPRESSION_CONVERT: return convert(s, at(s, it->a)->type, it->type, s->value[it->a]);
    case EXPRESSION_BITS:
        return convert_text(s, "bitcast", at(s, it->a)->type, it->type, s->value[it->a]);
    case EXPRESSION_NEG:
    case EXPRESSION_NOT: return negated(s, it, s->value[it->a]);
    case EXPRESSION_EQ:
    case EXPRESSION_NE:
    case EXPRESSION_LT:
    case EXPRESSION_LE:
    case EXPRESSION_GT:
    case EXPRESSION_GE:
        return compare(s, it->code, at(s, it->a)->type, s->value[it->a], s->value[it->b]);
    case EXPRESSION_SELECT: return selected(s, it);
    case EXPRESSION_FMA:
    case EXPRESSION_ABS:
    case EXPRESSION_SQRT:
    case EXPRESSION_FLOOR:
    case EXPRESSION_CEIL:
    case EXPRESSION_RINT:
    case EXPRESSION_COPYSIGN: return called(s, it);
    case EXPRESSION_SCALE: return scale(s, s->value[it->a], s->value[it->b]);
    case EXPRESSION_LOOKUP: return look_up(s, it->table, s->value[it->a]);
    default: return arithmetic(s, it, s->value[it->a], s->value[it->b]);
    }
}

static uint32_t evaluate(vector_code *c, const expression *e, bool vector, const uint32_t *in,
                         uint32_t *value) {
    steps s = {c, e, vector, in, value};
    for (uint32_t i = 0; i < e->count; i++) value[i] = step(&s, &e->step[i]);
    return e->count ? value[e->count - 1] : 0;
}

/* Many registers one after the other: side by side, more would be under way than there are. */
static uint32_t evaluate_parts(vector_code *c, const expression *e, const uint32_t *in,
                               uint32_t *value) {
    uint32_t part[MOST_PARTS], given[TW_SCALAR_OPERANDS];
    vector_code whole = *c;
    for (int k = 0; k < 1 << whole.split; k++) {
        for (uint32_t i = 0; i < e->count; i++) {
            const expression_step *it = &e->step[i];
            if (it->code == EXPRESSION_INPUT) given[it->a] = part_of(c, it->type, in[it->a], k);
        }
        c->lanes = register_lanes(&whole);
        c->split = 0;
        part[k] = evaluate(c, e, true, given, value);
        c->lanes = whole.lanes;
        c->split = whole.split;
    }
    return joined(c, e->step[e->count - 1].type, part);
}

uint32_t vector_expression(vector_code *c, const expression *e, bool vector, const uint32_t *in) {
    uint32_t *value = context_allocate(c->out->context, e->count + 1, sizeof *value);
    if (!value) {
        c->out->failed = true;
        return 0;
    }
    bool parts = vector && c->apart && c->split && e->count;
    uint32_t result = parts ? evaluate_parts(c, e, in, value) : evaluate(c, e, vector, in, value);
    context_release(c->out->context, value);
    return result;
}

/* ---- reductions ---- */

enum { SUM, MAX, MIN, PROD };

constant_text vector_neutral(int how, scalar_type type, bool vector) {
    bool big = type == SCALAR_I64;
    switch (how) {
    case SUM: return vector_constant(type, vector, 0, 0);
    case PROD: return vector_constant(type, vector, 1, 1);
    case MAX:
        return vector_constant(type, vector, -INFINITY,
                               !is_signed(type) ? 0
                               : big            ? INT64_MIN
                                                : INT32_MIN);
    default:
        return vector_constant(type, vector, INFINITY,
                               type == SCALAR_U8    ? UINT8_MAX
                               : type == SCALAR_U32 ? UINT32_MAX
                               : big                ? INT64_MAX
                                                    : INT32_MAX);
    }
}

/* max and min take a where it is NaN, as the plain kernels do. */
static uint32_t extreme(steps *s, int how, scalar_type type, uint32_t a, uint32_t b) {
    text *out = s->code->out;
    type_name name = vector_type(s->code, type, s->vector),
              truth = vector_type(s->code, SCALAR_BOOL, s->vector);
    uint32_t wins = compare(s, how == MAX ? EXPRESSION_GT : EXPRESSION_LT, type, a, b);
    if (is_float(type)) {
        uint32_t nan = vector_fresh(s->code), either = vector_fresh(s->code);
        text_add(out, "  %%t%u = fcmp uno %s %%t%u, %%t%u\n", nan, name.at, a, a);
        text_add(out, "  %%t%u = or %s %%t%u, %%t%u\n", either, truth.at, wins, nan);
        wins = either;
    }
    uint32_t made = vector_fresh(s->code);
    text_add(out, "  %%t%u = select %s %%t%u, %s %%t%u, %s %%t%u\n", made, truth.at, wins, name.at,
             a, name.at, b);
    return made;
}

uint32_t vector_combine(vector_code *c, int how, scalar_type type, bool vector, uint32_t a,
                        uint32_t b) {
    steps s = {c, NULL, vector, NULL, NULL};
    bool f = is_float(type);
    if (how == SUM) return binary(&s, f ? "fadd" : "add", type, a, b);
    if (how == PROD) return binary(&s, f ? "fmul" : "mul", type, a, b);
    return extreme(&s, how, type, a, b);
}

uint32_t vector_fold(vector_code *c, int how, scalar_type type, uint32_t value) {
    type_name all = vector_type(c, type, true);
    for (int half = c->lanes / 2; half > 0; half /= 2) {
        uint32_t moved = vector_fresh(c);
        text_add(c->out, "  %%t%u = shufflevector %s %%t%u, %s poison, <%d x i32> <", moved, all.at,
                 value, all.at, c->lanes);
        for (int i = 0; i < c->lanes; i++)
            if (i < half)
                text_add(c->out, "%si32 %d", i ? ", " : "", i + half);
            else
                text_add(c->out, ", i32 poison");
        text_add(c->out, ">\n");
        value = vector_combine(c, how, type, true, value, moved);
    }
    uint32_t made = vector_fresh(c);
    text_add(c->out, "  %%t%u = extractelement %s %%t%u, i64 0\n", made, all.at, value);
    return made;
}
