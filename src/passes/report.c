/* A table for people: what each pass changes, a row each. */
#include <math.h>
#include <stdio.h>

#include "base/number.h"
#include "base/text.h"
#include "ir/derive.h"
#include "ir/dimension.h"
#include "passes/passes.h"

enum { WIDTH = 80, CHANGES = 32 }; /* columns; where the changes start */

typedef struct tally {
    const tw_operator *op;
    int before, after; /* live nodes */
} tally;

typedef struct report {
    tw_context *context;
    VECTOR(tally) tallies;
    int nodes;
    int beside, besides; /* nodes side by side with the one before: now, and one pass before */
    double flops;        /* NaN with open extents */
    uint64_t looks,
        looked; /* operators and types of the nodes in order: now, and one pass before */
    text out;
} report;

static bool count_node(report *t, const node *it) {
    for (size_t i = 0; i < t->tallies.count; i++)
        if (t->tallies.at[i].op == it->op) return ++t->tallies.at[i].after;
    tally *made = VECTOR_PUSH(t->context, &t->tallies);
    if (made) *made = (tally){it->op, 0, 1};
    return made != NULL;
}

static bool add_cost(report *t, const tw_graph *graph, const node *it) {
    tw_type operand[TW_MAX_OPERANDS] = {{0}}, result[TW_MAX_RESULTS];
    bool known = true;
    for (int i = 0; i < it->n_operands; i++) {
        if (it->operand[i] == ABSENT) continue;
        operand[i] = graph->values.at[it->operand[i]].type;
        known = known && shape_known(operand[i].shape);
    }
    for (int i = 0; i < it->n_results; i++) {
        result[i] = graph->values.at[it->first_result + (uint32_t)i].type;
        known = known && shape_known(result[i].shape);
        t->looks = hash_bytes(t->looks, &result[i].dtype, sizeof result[i].dtype);
        for (int k = 0; k < result[i].shape.rank; k++)
            t->looks = hash_bytes(t->looks, &result[i].shape.dim[k], sizeof(int64_t));
    }
    tw_signature signature = {t->context, it->op, it->n_operands, it->n_results,
                              operand,    result, it->attr};
    tw_cost cost = {NAN, 0};
    bool good = !known || signature_cost(&signature, &cost);
    t->flops += cost.flops;
    return good;
}

static bool take_stock(report *t, const tw_graph *graph) {
    uint8_t *live = context_allocate(t->context, graph->nodes.count + 1, 1);
    if (!live) return false;
    rewrite_mark(graph, live);
    for (size_t i = 0; i < t->tallies.count; i++) {
        t->tallies.at[i].before = t->tallies.at[i].after;
        t->tallies.at[i].after = 0;
    }
    t->looked = t->looks;
    t->looks = HASH_START;
    t->besides = t->beside;
    t->nodes = t->beside = 0;
    t->flops = 0;
    bool good = true;
    for (size_t i = 0; i < graph->nodes.count && good; i++) {
        const node *it = &graph->nodes.at[i];
        if (!live[i]) continue;
        t->nodes++;
        t->beside += it->meta.beside;
        t->looks = hash_string(t->looks, it->op->name);
        good = count_node(t, it) && add_cost(t, graph, it);
    }
    context_release(t->context, live);
    return good;
}

static void print_change(report *t, const char *name, int change, int *column) {
    char words[64];
    int length = snprintf(words, sizeof words, "%+d %s", change, name);
    if (*column > CHANGES && *column + 2 + length > WIDTH) {
        text_add(&t->out, "\n%*s", CHANGES, "");
        *column = CHANGES;
    }
    text_add(&t->out, "%s%s", *column > CHANGES ? "  " : "", words);
    *column += length + (*column > CHANGES ? 2 : 0);
}

static void print_amount(report *t, double amount) {
    static const char *const units[] = {"", " K", " M", " G", " T"};
    enum { LAST = sizeof units / sizeof *units - 1 };
    char words[32];
    int unit = 0;
    while (unit < LAST && amount >= 1000) amount /= 1000, unit++;
    snprintf(words, sizeof words, "%.*f%s", unit && amount < 100 ? 1 : 0, amount, units[unit]);
    text_add(&t->out, "%10s", isnan(amount) ? "?" : words);
}

static void print_row(report *t, const char *name, bool first) {
    int column = CHANGES;
    text_add(&t->out, "%-12s %6d ", name, t->nodes);
    print_amount(t, t->flops);
    text_add(&t->out, "  ");
    for (int sign = -1; sign <= 1 && !first; sign += 2)
        for (size_t i = 0; i < t->tallies.count; i++) {
            const tally *it = &t->tallies.at[i];
            int change = it->after - it->before;
            if (change * sign > 0) print_change(t, it->op->name, change, &column);
        }
    if (t->beside != t->besides && !first)
        print_change(t, "side by side", t->beside - t->besides, &column);
    if (column == CHANGES && t->looks != t->looked && !first)
        text_add(&t->out, "nodes in another order, or of other shapes");
    while (t->out.length && t->out.at[t->out.length - 1] == ' ') t->out.at[--t->out.length] = '\0';
    text_add(&t->out, "\n");
}

static bool report_passes(report *t, tw_graph *graph, const char *names) {
    char all[PASSES_NAMES], name[PASSES_NAMES];
    passes_choose(true, 0, all);
    if (!names) names = all;
    text_add(&t->out, "%-12s %6s %10s  %s\n", "pass", "nodes", "flops", "what changed");
    if (!take_stock(t, graph)) return false;
    print_row(t, "(as built)", true);
    while (*(names += strspn(names, " "))) {
        int length = (int)strcspn(names, " ");
        snprintf(name, sizeof name, "%.*s", length, names);
        graph = passes_run(graph, name, true);
        if (!graph || !take_stock(t, graph)) return false;
        print_row(t, name, false);
        names += length;
    }
    return true;
}

char *tw_graph_summary_passes(tw_graph *graph, const char *passes) {
    if (!graph) return NULL;
    tw_context *context = graph->module->context;
    report t = {.context = context, .out = {.context = context}};
    size_t functions = graph->module->functions.count;
    bool good = report_passes(&t, graph, passes);
    graph_drop_functions(graph, functions);
    VECTOR_FREE(context, &t.tallies);
    if (good) return text_take(&t.out);
    text_drop(&t.out);
    return NULL;
}
