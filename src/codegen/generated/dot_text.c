/* The register tiles of a product and the turning of panels, as LLVM IR. */
#include "codegen/generated/dot_text.h"

#include <stdio.h>

#include "base/text.h"

enum { ENOUGH_CHAINS = 6, MOST_CHAINS = 4 };

int dot_chains(const dot_form *form) {
    int sums = form->rows * form->width, chains = 1;
    while (chains < MOST_CHAINS && chains * sums < ENOUGH_CHAINS) chains *= 2;
    return chains;
}

typedef struct tile {
    text out;
    const dot_form *form;
    int lanes, chains, registers;
} tile;

#define LINE(...) text_add(&t->out, "  " __VA_ARGS__)

/* ---- arguments ---- */

static void write_head(tile *t, const machine_target *target) {
    static const char *const names[] = {
        "x",     "w",       "y",     "depth",      "x_row",        "x_depth",    "w_step",
        "y_row", "columns", "fetch", "last_fetch", "fetch_offset", "first_fetch"};
    text_add(&t->out,
             "%sdefine void @kernel(ptr noalias %%arguments, i64 %%begin, i64 %%end) #0 {\n",
             target->preamble);
    text_add(&t->out, "entry:\n");
    for (int i = 0; i < (t->form->fetches ? 13 : 9); i++) {
        LINE("%%at.%s = getelementptr i64, ptr %%arguments, i64 %d\n", names[i], i);
        LINE("%%%s = load %s, ptr %%at.%s, align 8\n", names[i], i < 3 || i == 9 ? "ptr" : "i64",
             names[i]);
    }
}

static void write_foot(tile *t, const machine_target *target) {
    text_add(&t->out, "exit:\n  ret void\n}\nattributes #0 = { %s }\n", target->attributes);
}

/* %name: lane i < %count */
static void write_mask(tile *t, const char *name, const char *count, int lanes) {
    LINE("%%%s.n = trunc i64 %%%s to i32\n", name, count);
    LINE("%%%s.one = insertelement <%d x i32> poison, i32 %%%s.n, i32 0\n", name, lanes, name);
    LINE("%%%s.all = shufflevector <%d x i32> %%%s.one, <%d x i32> poison, <%d x i32> "
         "zeroinitializer\n",
         name, lanes, name, lanes, lanes);
    LINE("%%%s = icmp ult <%d x i32> <", name, lanes);
    for (int i = 0; i < lanes; i++) text_add(&t->out, "%si32 %d", i ? ", " : "", i);
    text_add(&t->out, ">, %%%s.all\n", name);
}

/* %name = the vector at %at, masked by %mask unless NULL. */
static void write_load(tile *t, const char *name, const char *at, const char *mask) {
    int n = t->lanes;
    if (mask)
        LINE("%%%s = call <%d x float> @llvm.masked.load.v%df32.p0(ptr %%%s, i32 4, <%d x i1> "
             "%%%s, <%d x float> zeroinitializer)\n",
             name, n, n, at, n, mask, n);
    else
        LINE("%%%s = load <%d x float>, ptr %%%s, align 4\n", name, n, at);
}

/* ---- sums ---- */

static int sums_of(const tile *t) { return t->form->rows * t->form->width; }

/* The values that the loop `label` carries, from `before` with suffix `from`; the first loop's, if it adds,
 * from what y holds in chain 0. */
static void write_phis(tile *t, const char *label, const char *before, const char *from,
                       const char *body, int chains) {
    for (int i = 0; i < chains * sums_of(t); i++) {
        LINE("%%s%d.%s = phi <%d x float> [ ", i, label, t->lanes);
        if (from)
            text_add(&t->out, "%%s%d.%s", i, from);
        else if (t->form->adds && i < sums_of(t))
            text_add(&t->out, "%%held.%d", i);
        else
            text_add(&t->out, "zeroinitializer");
        text_add(&t->out, ", %%%s ], [ %%s%d.%s, %%%s ]\n", before, i, body, body);
    }
}

/* Sums of chain u, row i: %s.BODY = x * w + %s.LABEL, for names x.BODY.U.ROW and w.BODY.U.COLUMN. */
static void write_row_products(tile *t, const char *label, const char *body, int u, int i) {
    int n = t->lanes;
    for (int v = 0; v < t->form->width; v++) {
        int s = (u * t->form->rows + i) * t->form->width + v;
        LINE("%%s%d.%s = call <%d x float> @llvm.fma.v%df32(<%d x float> %%x.%s.%d.%d, <%d x "
             "float> %%w.%s.%d.%d, <%d x float> %%s%d.%s)\n",
             s, body, n, n, n, body, u, i, n, body, u, v, n, s, label);
    }
}

/* The chains of %s.FROM added in a binary tree: %sum.i. */
static void write_tree(tile *t, const char *from) {
    int n = t->lanes, sums = sums_of(t);
    for (int i = 0; i < sums; i++) {
        if (t->chains == 1)
            LINE("%%sum.%d = fadd <%d x float> %%s%d.%s, splat (float -0.0)\n", i, n, i, from);
        if (t->chains == 2)
            LINE("%%sum.%d = fadd <%d x float> %%s%d.%s, %%s%d.%s\n", i, n, i, from, i + sums,
                 from);
        if (t->chains < 4) continue;
        LINE("%%low.%d = fadd <%d x float> %%s%d.%s, %%s%d.%s\n", i, n, i, from, i + 2 * sums,
             from);
        LINE("%%high.%d = fadd <%d x float> %%s%d.%s, %%s%d.%s\n", i, n, i + sums, from,
             i + 3 * sums, from);
        LINE("%%sum.%d = fadd <%d x float> %%low.%d, %%high.%d\n", i, n, i, i);
    }
}

/* ---- DOT_OUTER ---- */

/* The line of this depth, for writing, as an update writes what it reads: one at a time, as many at once would wait for one another. */
static void write_fetch(tile *t, const char *label, const char *body, int u) {
    LINE("%%fu.%s.%d = add nsw i64 %%d.%s, %d\n", body, u, label, u);
    LINE("%%fd.%s.%d = add nsw i64 %%fu.%s.%d, %%fetched\n", body, u, body, u);
    LINE("%%fi.%s.%d = call i64 @llvm.smin.i64(i64 %%fd.%s.%d, i64 %%last_fetch)\n", body, u, body,
         u);
    LINE("%%fa.%s.%d = getelementptr ptr, ptr %%fetch, i64 %%fi.%s.%d\n", body, u, body, u);
    LINE("%%fp.%s.%d = load ptr, ptr %%fa.%s.%d, align 8\n", body, u, body, u);
    LINE("%%fo.%s.%d = getelementptr i8, ptr %%fp.%s.%d, i64 %%fetch_offset\n", body, u, body, u);
    LINE("call void @llvm.prefetch.p0(ptr %%fo.%s.%d, i32 1, i32 3, i32 1)\n", body, u);
}

/* Broadcast elements of x that there are registers for. LLVM's scheduler would load one too many and then moves
 * all sums through the stack. */
static int most_broadcast(const tile *t) {
    int left = t->registers - t->form->width - t->chains * sums_of(t);
    return left > 1 ? left : 1;
}

/* %hx.BODY.U.ROW: where the depth begins, and known only when the row is to be loaded: after the sums of row - most
 * are there. The empty instruction costs nothing. */
static void write_hold(tile *t, const char *label, const char *body, int u, int row, int most) {
    int n = t->lanes, width = t->form->width, sum = (u * t->form->rows + row - most) * width;
    if (row < most) {
        LINE("%%hx.%s.%d.%d = getelementptr float, ptr %%px.%s, i64 %%xu%d\n", body, u, row, label,
             u);
        return;
    }
    LINE("%%hx.%s.%d.%d = call ptr asm \"\", \"=r,0", body, u, row);
    for (int v = 0; v < width; v++) text_add(&t->out, ",v");
    text_add(&t->out, "\"(ptr %%hx.%s.%d.%d", body, u, row - 1);
    for (int v = 0; v < width; v++) text_add(&t->out, ", <%d x float> %%s%d.%s", n, sum + v, body);
    text_add(&t->out, ")\n");
}

/* %x.BODY.U.ROW: an element of x in all lanes, or two in turn. */
static void write_spread(tile *t, const char *body, int u, int row) {
    bool pair = t->form->paired;
    int n = pair ? t->lanes / 2 : t->lanes;
    const char *type = pair ? "double" : "float";
    LINE("%%ex.%s.%d.%d = load %s, ptr %%ax.%s.%d.%d, align 4\n", body, u, row, type, body, u, row);
    LINE("%%ix.%s.%d.%d = insertelement <%d x %s> poison, %s %%ex.%s.%d.%d, i32 0\n", body, u, row,
         n, type, type, body, u, row);
    LINE("%%%sx.%s.%d.%d = shufflevector <%d x %s> %%ix.%s.%d.%d, <%d x %s> poison, <%d x i32> "
         "zeroinitializer\n",
         pair ? "p" : "", body, u, row, n, type, body, u, row, n, type, n);
    if (pair)
        LINE("%%x.%s.%d.%d = bitcast <%d x double> %%px.%s.%d.%d to <%d x float>\n", body, u, row,
             n, body, u, row, t->lanes);
}

/* One depth: names for loop body `body`, chain u; %px.LABEL and %pw.LABEL are where it begins. */
static void write_outer_step(tile *t, const char *label, const char *body, int u) {
    const dot_form *f = t->form;
    int n = t->lanes, most = most_broadcast(t);
    if (f->fetches) write_fetch(t, label, body, u);
    LINE("%%pw.%s.%d = getelementptr float, ptr %%pw.%s, i64 %%wu%d\n", body, u, label, u);
    for (int v = 0; v < f->width; v++) {
        char at[64], name[64];
        snprintf(at, sizeof at, "pw.%s.%d.%d", body, u, v);
        snprintf(name, sizeof name, "w.%s.%d.%d", body, u, v);
        LINE("%%%s = getelementptr float, ptr %%pw.%s.%d, i64 %d\n", at, body, u, v * n);
        write_load(t, name, at, f->masked && !f->paired && v == f->width - 1 ? "mask" : NULL);
    }
    for (int i = 0; i < f->rows; i++) {
        int shift = 0;
        while (i && !(i >> shift & 1)) shift++;
        write_hold(t, label, body, u, i, most);
        LINE("%%ox.%s.%d.%d = shl i64 %%odd%d, %d\n", body, u, i, i >> shift, shift);
        LINE("%%ax.%s.%d.%d = getelementptr i8, ptr %%hx.%s.%d.%d, i64 %%ox.%s.%d.%d\n", body, u, i,
             body, u, i, body, u, i);
        write_spread(t, body, u, i);
        write_row_products(t, label, body, u, i);
    }
}

/* for (d = ...; d < limit; d += chains) in blocks LABEL and BODY. */
static void write_outer_loop(tile *t, const char *label, const char *body, const char *before,
                             const char *from, const char *limit, const char *next, int chains) {
    text_add(&t->out, "%s:\n", label);
    LINE("%%d.%s = phi i64 [ ", label);
    text_add(&t->out, "%s%s", from ? "%d." : "0", from ? from : "");
    text_add(&t->out, ", %%%s ], [ %%d.%s, %%%s ]\n", before, body, body);
    LINE("%%px.%s = phi ptr [ %%px.%s, %%%s ], [ %%px.%s, %%%s ]\n", label, from ? from : "start",
         before, body, body);
    LINE("%%pw.%s = phi ptr [ %%%s%s, %%%s ], [ %%pw.%s, %%%s ]\n", label, from ? "pw." : "w",
         from ? from : "", before, body, body);
    write_phis(t, label, before, from, body, chains);
    LINE("%%go.%s = icmp slt i64 %%d.%s, %%%s\n", label, label, limit);
    LINE("br i1 %%go.%s, label %%%s, label %%%s\n%s:\n", label, body, next, body);
    for (int u = 0; u < chains; u++) write_outer_step(t, label, body, u);
    LINE("%%d.%s = add nsw i64 %%d.%s, %d\n", body, label, chains);
    LINE("%%px.%s = getelementptr float, ptr %%px.%s, i64 %%xu%d\n", body, label, chains);
    LINE("%%pw.%s = getelementptr float, ptr %%pw.%s, i64 %%wu%d\n", body, label, chains);
    LINE("br label %%%s\n", label);
}

/* %yp.i: where sum i is in y. */
static void write_outer_places(tile *t) {
    const dot_form *f = t->form;
    for (int i = 0; i < f->rows; i++) {
        LINE("%%yo.%d = mul nsw i64 %%y_row, %d\n", i, i);
        LINE("%%yr.%d = getelementptr float, ptr %%y.start, i64 %%yo.%d\n", i, i);
        for (int v = 0; v < f->width; v++)
            LINE("%%yp.%d = getelementptr float, ptr %%yr.%d, i64 %d\n", i * f->width + v, i,
                 v * t->lanes);
    }
}

static void write_held(tile *t) {
    const dot_form *f = t->form;
    for (int i = 0; i < sums_of(t); i++) {
        char at[32], name[32];
        snprintf(at, sizeof at, "yp.%d", i);
        snprintf(name, sizeof name, "held.%d", i);
        write_load(t, name, at, f->masked && i % f->width == f->width - 1 ? "mask" : NULL);
    }
}

static void write_store(tile *t, const char *sum, int row, int lanes, bool masked) {
    if (masked)
        LINE("call void @llvm.masked.store.v%df32.p0(<%d x float> %%%s, ptr %%yp.%d, i32 4, <%d x "
             "i1> "
             "%%mask)\n",
             lanes, lanes, sum, row, lanes);
    else
        LINE("store <%d x float> %%%s, ptr %%yp.%d, align 4\n", lanes, sum, row);
}

/* Of two rows the even lanes and the odd ones, added; then each row's half. */
static void write_paired_stores(tile *t) {
    int n = t->lanes, half = n / 2;
    for (int i = 0; i < t->form->rows; i += 2) {
        int other = i + 1 < t->form->rows ? i + 1 : i;
        for (int odd = 0; odd < 2; odd++) {
            LINE("%%part%d.%d = shufflevector <%d x float> %%sum.%d, <%d x float> %%sum.%d, <%d x "
                 "i32> "
                 "<",
                 odd, i, n, i, n, other, n);
            for (int k = 0; k < n; k++) text_add(&t->out, "%si32 %d", k ? ", " : "", 2 * k + odd);
            text_add(&t->out, ">\n");
        }
        LINE("%%both.%d = fadd <%d x float> %%part0.%d, %%part1.%d\n", i, n, i, i);
        for (int k = 0; k <= other - i; k++) {
            char name[32];
            snprintf(name, sizeof name, "row.%d", i + k);
            LINE("%%%s = shufflevector <%d x float> %%both.%d, <%d x float> poison, <%d x i32> <",
                 name, n, i, n, half);
            for (int lane = 0; lane < half; lane++)
                text_add(&t->out, "%si32 %d", lane ? ", " : "", k * half + lane);
            text_add(&t->out, ">\n");
            write_store(t, name, i + k, half, t->form->masked);
        }
    }
}

/* Values of chain 0 from the last loop, of the others from the loop before: one name for both. */
static void write_outer_stores(tile *t, const char *from) {
    const dot_form *f = t->form;
    write_tree(t, from);
    if (!f->adds) write_outer_places(t);
    if (f->paired) {
        write_paired_stores(t);
        return;
    }
    for (int s = 0; s < sums_of(t); s++) {
        char name[32];
        snprintf(name, sizeof name, "sum.%d", s);
        write_store(t, name, s, t->lanes, f->masked && s % f->width == f->width - 1);
    }
}

/* %oddN: so many bytes from a row of x to the Nth after it. With the powers of two that addresses can scale by, that
 * makes all rows from one pointer. Were they known to be multiples of one number, each address would be computed
 * from the one before. */
static void write_rows(tile *t) {
    LINE("%%odd0 = add i64 0, 0\n");
    for (int i = 1; i < t->form->rows; i += 2) {
        LINE("%%multiple%d = mul nsw i64 %%x_row, %d\n", i, i * (int)sizeof(float));
        LINE("%%odd%d = call i64 asm \"\", \"=r,0\"(i64 %%multiple%d)\n", i, i);
    }
}

static void write_outer(tile *t) {
    const dot_form *f = t->form;
    if (f->masked) write_mask(t, "mask", "columns", f->paired ? t->lanes / 2 : t->lanes);
    for (int u = 0; u <= t->chains; u++) {
        LINE("%%xu%d = mul nsw i64 %%x_depth, %d\n", u, u);
        LINE("%%wu%d = mul nsw i64 %%w_step, %d\n", u, u);
    }
    write_rows(t);
    LINE("%%rest = urem i64 %%depth, %d\n", t->chains);
    LINE("%%whole = sub nsw i64 %%depth, %%rest\n");
    LINE("%%x_block = mul nsw i64 %%x_row, %d\n", f->rows);
    LINE("%%y_block = mul nsw i64 %%y_row, %d\n  br label %%blocks\nblocks:\n", f->rows);
    LINE("%%block = phi i64 [ %%begin, %%entry ], [ %%block.next, %%done ]\n");
    LINE("%%more = icmp slt i64 %%block, %%end\n");
    LINE("br i1 %%more, label %%start, label %%exit\nstart:\n");
    LINE("%%x.offset = mul nsw i64 %%block, %%x_block\n");
    LINE("%%px.start = getelementptr float, ptr %%x, i64 %%x.offset\n");
    LINE("%%y.offset = mul nsw i64 %%block, %%y_block\n");
    LINE("%%y.start = getelementptr float, ptr %%y, i64 %%y.offset\n");
    if (f->fetches) {
        LINE("%%fetched.before = mul nsw i64 %%block, %%depth\n");
        LINE("%%fetched = add nsw i64 %%fetched.before, %%first_fetch\n");
    }
    if (f->adds) write_outer_places(t);
    if (f->adds) write_held(t);
    LINE("br label %%loop\n");
    write_outer_loop(t, "loop", "body", "start", NULL, "whole",
                     t->chains > 1 ? "rest.enter" : "done", t->chains);
    if (t->chains > 1) {
        /* What is left, less than a round, goes to chain 0. */
        text_add(&t->out, "rest.enter:\n  br label %%tail\n");
        write_outer_loop(t, "tail", "last", "rest.enter", "loop", "depth", "done", 1);
    }
    text_add(&t->out, "done:\n");
    if (t->chains > 1)
        for (int i = 0; i < t->chains * sums_of(t); i++)
            LINE("%%s%d.end = fadd <%d x float> %%s%d.%s, splat (float -0.0)\n", i, t->lanes, i,
                 i < sums_of(t) ? "tail" : "loop");
    write_outer_stores(t, t->chains > 1 ? "end" : "loop");
    LINE("%%block.next = add nsw i64 %%block, 1\n  br label %%blocks\n");
}

/* ---- DOT_INNER ---- */

static void write_inner_step(tile *t, const char *label, const char *body, int u,
                             const char *mask) {
    const dot_form *f = t->form;
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < (side ? f->width : f->rows); i++) {
            char at[64], name[64];
            snprintf(at, sizeof at, "%s.%s.%d.%d", side ? "qw" : "qx", body, u, i);
            snprintf(name, sizeof name, "%s.%s.%d.%d", side ? "w" : "x", body, u, i);
            LINE("%%%s = getelementptr float, ptr %%%s%d, i64 %%d.%s.%d\n", at, side ? "pw" : "px",
                 i, body, u);
            write_load(t, name, at, mask);
        }
    for (int i = 0; i < f->rows; i++) write_row_products(t, label, body, u, i);
}

/* %to: within each four lanes, the sums of a's and b's neighbours, ab ab for step 1; for step 2, of two such,
 * the four sums. */
static void write_fold(tile *t, const char *to, const char *a, const char *b, int step) {
    int n = t->lanes;
    for (int half = 0; half < 2; half++) {
        LINE("%%%s.%d = shufflevector <%d x float> %s, <%d x float> %s, <%d x i32> <", to, half, n,
             a, n, b, n);
        for (int i = 0; i < n; i++) {
            int four = i / 4 * 4, k = i % 4;
            int pick = step == 1 ? four + 2 * (k / 2) + half + (k % 2 ? n : 0)
                                 : four + k % 2 + 2 * half + (k / 2 ? n : 0);
            text_add(&t->out, "%si32 %d", i ? ", " : "", pick);
        }
        text_add(&t->out, ">\n");
    }
    LINE("%%%s = fadd <%d x float> %%%s.0, %%%s.1\n", to, n, to, to);
}

/* Four sums at a time: in each four lanes the sums of these, then the fours in a tree. */
static void write_inner_row(tile *t, int row) {
    const dot_form *f = t->form;
    int n = t->lanes;
    char name[4][32], to[3][32];
    for (int v = 0; v < 4; v++) {
        if (v < f->width)
            snprintf(name[v], sizeof *name, "%%sum.%d", row * f->width + v);
        else
            snprintf(name[v], sizeof *name, "zeroinitializer");
    }
    for (int i = 0; i < 3; i++) snprintf(to[i], sizeof *to, "fold.%d.%d", row, i);
    write_fold(t, to[0], name[0], name[1], 1);
    write_fold(t, to[1], name[2], name[3], 1);
    char first[40], second[40];
    snprintf(first, sizeof first, "%%%s", to[0]);
    snprintf(second, sizeof second, "%%%s", to[1]);
    write_fold(t, to[2], first, second, 2);
    char last[40];
    snprintf(last, sizeof last, "%s", to[2]);
    for (int width = n; width > 4; width /= 2) {
        for (int half = 0; half < 2; half++) {
            LINE("%%part.%d.%d.%d = shufflevector <%d x float> %%%s, <%d x float> poison, <%d x "
                 "i32> "
                 "<",
                 row, width, half, width, last, width, width / 2);
            for (int i = 0; i < width / 2; i++)
                text_add(&t->out, "%si32 %d", i ? ", " : "", i + half * width / 2);
            text_add(&t->out, ">\n");
        }
        LINE("%%both.%d.%d = fadd <%d x float> %%part.%d.%d.0, %%part.%d.%d.1\n", row, width,
             width / 2, row, width, row, width);
        snprintf(last, sizeof last, "both.%d.%d", row, width);
    }
    LINE("%%yo.%d = mul nsw i64 %%y_row, %d\n", row, row);
    LINE("%%yr.%d = getelementptr float, ptr %%y.start, i64 %%yo.%d\n", row, row);
    if (f->width == 4) LINE("store <4 x float> %%%s, ptr %%yr.%d, align 4\n", last, row);
    for (int v = 0; v < f->width && f->width < 4; v++) {
        LINE("%%total.%d.%d = extractelement <4 x float> %%%s, i32 %d\n", row, v, last, v);
        LINE("%%yp.%d.%d = getelementptr float, ptr %%yr.%d, i64 %d\n", row, v, row, v);
        LINE("store float %%total.%d.%d, ptr %%yp.%d.%d, align 4\n", row, v, row, v);
    }
}

static void write_inner_stores(tile *t) {
    write_tree(t, "end");
    for (int row = 0; row < t->form->rows; row++) write_inner_row(t, row);
}

static void write_inner_loop(tile *t) {
    int step = t->lanes * t->chains, sums = sums_of(t);
    text_add(&t->out, "loop:\n");
    LINE("%%d.loop = phi i64 [ 0, %%start ], [ %%d.next, %%body ]\n");
    write_phis(t, "loop", "start", NULL, "body", t->chains);
    LINE("%%go.loop = icmp slt i64 %%d.loop, %%whole\n");
    LINE("br i1 %%go.loop, label %%body, label %%tail\nbody:\n");
    for (int u = 0; u < t->chains; u++) {
        LINE("%%d.body.%d = add nsw i64 %%d.loop, %d\n", u, u * t->lanes);
        write_inner_step(t, "loop", "body", u, NULL);
    }
    LINE("%%d.next = add nsw i64 %%d.loop, %d\n  br label %%loop\n", step);
    /* Vector by vector, the last one masked, to chain 0. */
    text_add(&t->out, "tail:\n");
    LINE("%%d.tail = phi i64 [ %%d.loop, %%loop ], [ %%d.after, %%last ]\n");
    write_phis(t, "tail", "loop", "loop", "last", 1);
    LINE("%%go.tail = icmp slt i64 %%d.tail, %%depth\n");
    LINE("br i1 %%go.tail, label %%last, label %%done\nlast:\n");
    LINE("%%left = sub nsw i64 %%depth, %%d.tail\n");
    LINE("%%some = call i64 @llvm.smin.i64(i64 %%left, i64 %d)\n", t->lanes);
    write_mask(t, "mask", "some", t->lanes);
    LINE("%%d.last.0 = add nsw i64 %%d.tail, 0\n");
    write_inner_step(t, "tail", "last", 0, "mask");
    LINE("%%d.after = add nsw i64 %%d.tail, %d\n  br label %%tail\ndone:\n", t->lanes);
    for (int i = 0; i < t->chains * sums; i++)
        LINE("%%s%d.end = fadd <%d x float> %%s%d.%s, splat (float -0.0)\n", i, t->lanes, i,
             i < sums ? "tail" : "loop");
}

static void write_inner(tile *t) {
    const dot_form *f = t->form;
    LINE("%%rest = urem i64 %%depth, %d\n", t->lanes * t->chains);
    LINE("%%whole = sub nsw i64 %%depth, %%rest\n");
    for (int i = 0; i < f->rows; i++) {
        LINE("%%xo%d = mul nsw i64 %%x_row, %d\n", i, i);
        LINE("%%px%d = getelementptr float, ptr %%x, i64 %%xo%d\n", i, i);
    }
    LINE("br label %%blocks\nblocks:\n");
    LINE("%%block = phi i64 [ %%begin, %%entry ], [ %%block.next, %%done ]\n");
    LINE("%%more = icmp slt i64 %%block, %%end\n");
    LINE("br i1 %%more, label %%start, label %%exit\nstart:\n");
    LINE("%%column = mul nsw i64 %%block, %d\n", f->width);
    LINE("%%y.start = getelementptr float, ptr %%y, i64 %%column\n");
    for (int v = 0; v < f->width; v++) {
        LINE("%%wc%d = add nsw i64 %%column, %d\n", v, v);
        LINE("%%wo%d = mul nsw i64 %%wc%d, %%w_step\n", v, v);
        LINE("%%pw%d = getelementptr float, ptr %%w, i64 %%wo%d\n", v, v);
    }
    LINE("br label %%loop\n");
    write_inner_loop(t);
    write_inner_stores(t);
    LINE("%%block.next = add nsw i64 %%block, 1\n  br label %%blocks\n");
}

/* ---- DOT_TURN ---- */

/* lanes x lanes numbers turned: at each step, pairs of vectors `half` apart change their off halves. */
static void write_turned(tile *t) {
    int n = t->lanes, level = 0;
    for (int half = 1; half < n; half *= 2, level++)
        for (int i = 0; i < n; i++) {
            int other = i ^ half;
            bool low = !(i & half);
            LINE(
                "%%v%d.%d = shufflevector <%d x float> %%v%d.%d, <%d x float> %%v%d.%d, <%d x i32> "
                "<",
                level + 1, i, n, level, low ? i : other, n, level, low ? other : i, n);
            for (int lane = 0; lane < n; lane++) {
                /* of (a, b) with a the lower: the low one takes a's and b's even places */
                int of_b = (lane & half) != 0, from = low ? lane & ~half : lane | half;
                text_add(&t->out, "%si32 %d", lane ? ", " : "", of_b ? n + from : from);
            }
            text_add(&t->out, ">\n");
        }
    for (int i = 0; i < n; i++) {
        LINE("%%to.row%d = add nsw i64 %%d, %d\n", i, i);
        LINE("%%to.offset%d = mul nsw i64 %%to.row%d, %%y_row\n", i, i);
        LINE("%%to%d = getelementptr float, ptr %%to, i64 %%to.offset%d\n", i, i);
        LINE("store <%d x float> %%v%d.%d, ptr %%to%d, align 4\n", n, level, i, i);
    }
}

static void write_turn(tile *t) {
    int n = t->lanes;
    LINE("%%last.column = sub nsw i64 %%columns, 1\n  br label %%blocks\nblocks:\n");
    LINE("%%block = phi i64 [ %%begin, %%entry ], [ %%block.next, %%done ]\n");
    LINE("%%more = icmp slt i64 %%block, %%end\n");
    LINE("br i1 %%more, label %%start, label %%exit\nstart:\n");
    LINE("%%column = mul nsw i64 %%block, %d\n", n);
    LINE("%%to = getelementptr float, ptr %%y, i64 %%column\n");
    for (int i = 0; i < n; i++) { /* the last column stands in for those that are none */
        LINE("%%c%d = add nsw i64 %%column, %d\n", i, i);
        LINE("%%in%d = call i64 @llvm.smin.i64(i64 %%c%d, i64 %%last.column)\n", i, i);
        LINE("%%o%d = mul nsw i64 %%in%d, %%w_step\n", i, i);
        LINE("%%p%d = getelementptr float, ptr %%w, i64 %%o%d\n", i, i);
    }
    LINE("br label %%loop\nloop:\n");
    LINE("%%d = phi i64 [ 0, %%start ], [ %%d.next, %%turn ]\n");
    LINE("%%go = icmp slt i64 %%d, %%depth\n");
    LINE("br i1 %%go, label %%body, label %%done\nbody:\n");
    LINE("%%left = sub nsw i64 %%depth, %%d\n");
    LINE("%%full = icmp sge i64 %%left, %d\n", n);
    LINE("br i1 %%full, label %%direct, label %%partly\n");
    for (int masked = 0; masked < 2; masked++) {
        text_add(&t->out, masked ? "partly:\n" : "direct:\n");
        if (masked) write_mask(t, "mask", "left", t->lanes);
        for (int i = 0; i < n; i++) {
            char at[32], name[32];
            snprintf(at, sizeof at, "%s%d", masked ? "pm" : "pd", i);
            snprintf(name, sizeof name, "%s%d", masked ? "m" : "f", i);
            LINE("%%%s = getelementptr float, ptr %%p%d, i64 %%d\n", at, i);
            write_load(t, name, at, masked ? "mask" : NULL);
        }
        LINE("br label %%turn\n");
    }
    text_add(&t->out, "turn:\n");
    for (int i = 0; i < n; i++)
        LINE("%%v0.%d = phi <%d x float> [ %%f%d, %%direct ], [ %%m%d, %%partly ]\n", i, n, i, i);
    write_turned(t);
    LINE("%%d.next = add nsw i64 %%d, %d\n  br label %%loop\ndone:\n", n);
    LINE("%%block.next = add nsw i64 %%block, 1\n  br label %%blocks\n");
}

char *dot_text(tw_context *context, const dot_form *form, const machine_target *target) {
    tile it = {.out = {.context = context},
               .form = form,
               .lanes = form->lanes,
               .registers = target->vector_registers};
    tile *t = &it;
    it.chains = dot_chains(form);
    write_head(t, target);
    switch (form->kind) {
    case DOT_OUTER: write_outer(t); break;
    case DOT_INNER: write_inner(t); break;
    case DOT_TURN: write_turn(t); break;
    }
    write_foot(t, target);
    if (!it.out.failed) return text_take(&it.out);
    text_drop(&it.out);
    context_error(context, TW_ERR_MEMORY, "out of memory for a kernel's text");
    return NULL;
}
