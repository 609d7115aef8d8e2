/* Operator entries as Markdown. */
#include "cli/page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thalweg/thalweg.h>

#include "cli/example.h"
#include "ir/derive.h"

enum { NAME = 64 };

/* ---- words ---- */

/* Text of an entry: what Markdown would read as its own is escaped, but between backticks. */
static void print_words(const char *words) {
    bool code = false;
    for (; *words; words++) {
        code ^= *words == '`';
        if (*words == '|' || (!code && (*words == '*' || *words == '<'))) putchar('\\');
        putchar(*words);
    }
}

static void print_sentence(const char *words) {
    size_t length = strlen(words);
    print_words(words);
    if (length && words[length - 1] != '.') putchar('.');
}

static void print_block(tw_context *context, char *block) {
    if (!block) return;
    printf("```text\n%s```\n", block);
    tw_string_free(context, block);
}

static void print_folded(tw_context *context, const char *title, char *block) {
    if (!block) return;
    printf("\n<details><summary>%s</summary>\n\n", title);
    print_block(context, block);
    printf("\n</details>\n");
}

/* "`x`, `w`, `bias` (optional)" */
static void print_names(const char *list, const char *none) {
    bool first = true;
    for (const char *at = list; *at;) {
        int length = (int)strcspn(at, " "), cut = 0;
        const char *mark = "", *name = at;
        if (at[length - 1] == '?') {
            mark = " (optional)";
            cut = 1;
        } else if (length > 3 && !strncmp(at + length - 3, "...", 3)) {
            mark = " (one or more)";
            cut = 3;
        } else if (length > 2 && *at == '(') {
            mark = " (residual)";
            name++;
            cut = 2;
        }
        printf("%s`%.*s`%s", first ? "" : ", ", length - cut, name, mark);
        first = false;
        at += length;
        at += strspn(at, " ");
    }
    if (first) printf("%s", none);
}

/* ---- attributes ---- */

static const char *kind_name(tw_attr_kind kind) {
    switch (kind) {
    case TW_ATTR_INT: return "integer";
    case TW_ATTR_FLOAT: return "number";
    case TW_ATTR_BOOL: return "bool";
    case TW_ATTR_DTYPE: return "element type";
    case TW_ATTR_CHOICE: return "choice";
    case TW_ATTR_INTS: return "integers";
    case TW_ATTR_DIMS: return "extents";
    case TW_ATTR_STRING: return "string";
    case TW_ATTR_FUNCTION: return "function";
    case TW_ATTR_DATA: return "elements";
    }
    return "?";
}

static void print_choices(const char *choices) {
    for (const char *at = choices ? choices : ""; *at;) {
        int length = (int)strcspn(at, " ");
        printf("%s`%.*s`", at == choices ? "" : ", ", length, at);
        at += length;
        at += strspn(at, " ");
    }
}

static void print_attributes(const tw_operator *op) {
    bool choices = false;
    if (!op->attributes || !op->attributes->name) return;
    for (const tw_attr_spec *a = op->attributes; a->name; a++) choices |= a->choices != NULL;
    printf("\n| Attribute | Type | Default |%s Meaning |\n|---|---|---|%s---|\n",
           choices ? " Choices |" : "", choices ? "---|" : "");
    for (const tw_attr_spec *a = op->attributes; a->name; a++) {
        printf("| `%s` | %s | ", a->name, kind_name(a->kind));
        printf(a->fallback ? "`%s` | " : "required%s | ", a->fallback ? a->fallback : "");
        if (choices) {
            print_choices(a->choices);
            printf(" | ");
        }
        print_words(a->doc ? a->doc : "");
        printf(" |\n");
    }
}

/* ---- factors and cost ---- */

static const char *reduction_name(tw_reduction reduction) {
    static const char *const names[] = {
        [TW_SUM] = "sum", [TW_MAX] = "max", [TW_MIN] = "min", [TW_PROD] = "prod"};
    return reduction >= TW_SUM && reduction <= TW_PROD ? names[reduction] : "?";
}

static void print_kind(const tw_factor *f) {
    switch (f->kind) {
    case TW_FACTOR_PASS: printf("pass"); break;
    case TW_FACTOR_REDUCE: printf("reduce %s", reduction_name(f->reduction)); break;
    case TW_FACTOR_REPLICATE: printf("replicate"); break;
    case TW_FACTOR_PERMUTE: printf("permute"); break;
    case TW_FACTOR_HALO:
        printf("halo, low %lld, high %lld, stride %lld", (long long)f->low, (long long)f->high,
               (long long)f->stride);
        break;
    }
}

/* "(`x.0`, `y.0`)" */
static void print_dimensions(const example *e, const tw_factor *f, const char *before) {
    char name[NAME];
    for (int i = 0; i < e->n_operands; i++) {
        int dim = f->operand[i < TW_FACTOR_OPERANDS ? i : TW_FACTOR_OPERANDS - 1];
        if (e->absent[i] || dim < 0) continue;
        example_operand_name(e->op, i, name, sizeof name);
        printf("%s`%s.%d`", before, name, dim);
        before = ", ";
    }
    for (int i = 0; i < e->n_results; i++) {
        if (f->result[i] < 0) continue;
        example_result_name(e->op, i, name, sizeof name);
        printf("%s`%s.%d`", before, name, (int)f->result[i]);
        before = ", ";
    }
}

/* i, j, ..., z, a, ..., then with a number. */
static void print_factor(const example *e, int number, const tw_factor *f) {
    printf("  - `%c", (char)('a' + (number + 8) % 26));
    if (number >= 26) printf("%d", number / 26);
    printf("` of %lld: ", (long long)f->size);
    print_kind(f);
    print_dimensions(e, f, " (");
    printf(")\n");
}

/* One line for each cut; one for all that cannot be cut. */
static void print_factors(const example *e, int n, const tw_factor *list) {
    int cuts = 0, others = 0;
    for (int i = 0; i < n; i++)
        if (list[i].kind != TW_FACTOR_REPLICATE) print_factor(e, cuts++, &list[i]);
    for (int i = 0; i < n; i++) {
        if (list[i].kind != TW_FACTOR_REPLICATE) continue;
        print_dimensions(e, &list[i], others++ ? ", " : "  - replicate: ");
        printf(" of %lld", (long long)list[i].size);
    }
    if (others) putchar('\n');
}

static void print_numbers(const example *e) {
    tw_signature signature = example_signature(e);
    tw_cost cost;
    tw_factor factor[TW_MAX_FACTORS];
    signature_cost(&signature, &cost);
    printf("\n- **Cost:** %.0f operations, %.0f bytes\n", cost.flops, cost.bytes);
    int n = signature_factors(&signature, factor);
    printf("- **Factors:**%s\n", n ? "" : " none.");
    print_factors(e, n, factor);
}

/* ---- one operator ---- */

static void print_gradient(example *e, const tw_operator *op, bool built) {
    bool zero = false;
    char *text = built ? example_gradient(e, &zero) : NULL;
    printf("- **Gradient:** ");
    if (zero) {
        printf("zero.\n");
    } else if (op->vjp) {
        printf("by a rule of its own%s.\n", text ? ", below" : "");
    } else if (op->no_vjp) {
        printf("none: ");
        print_sentence(op->no_vjp);
        putchar('\n');
    } else {
        printf("that of the %s.\n", op->body ? "body" : "function");
    }
    print_folded(e->context, "Gradient", text);
}

void page_print_operator(tw_context *context, const tw_operator *op) {
    example e;
    printf("### `%s`\n\n```text\n%s\n```\n\n- **Operands:** ", op->name, op->formula);
    print_names(op->operands, "none");
    printf("\n- **Results:** ");
    print_names(op->results, "none");
    printf("\n- **Semantics:** ");
    print_sentence(op->semantics);
    putchar('\n');
    print_attributes(op);
    bool built = example_begin(&e, context, op);
    if (built) {
        printf("\nExample:\n\n");
        print_block(context, example_text(&e));
        print_numbers(&e);
    } else {
        printf("\n- **Example:** ");
        print_sentence(op->no_samples ? op->no_samples : "its sample does not build");
        putchar('\n');
    }
    char *body = built ? example_body(&e) : NULL;
    print_gradient(&e, op, built);
    print_folded(context, "Body", body);
    example_end(&e);
    putchar('\n');
}

/* ---- the page ---- */

static const struct {
    tw_meaning meaning;
    const char *title, *about;
} groups[] = {
    {TW_MEANS_SCALAR, "Elementwise operators", "One expression of one element of each operand."},
    {TW_MEANS_MAP, "Movement operators", "Strided copies: elements get another place."},
    {TW_MEANS_LOOPS, "Loop nests",
     "Reductions, contractions, windows, indices, random numbers: a loop nest each."},
    {TW_MEANS_BODY, "Composites",
     "One node with a body of the operators above, which a library's kernel may stand for. Types,\n"
     "factors, cost and, where there is no better rule, the gradient are those of the body."},
    {TW_MEANS_STATE, "State operators",
     "What the runtime gives: inputs, variables, constants, calls."},
};

static int by_name(const void *a, const void *b) {
    return strcmp((*(const tw_operator *const *)a)->name, (*(const tw_operator *const *)b)->name);
}

/* All operators, sorted by name; free() it. */
static const tw_operator **sorted(const tw_context *context, size_t *n) {
    *n = 0;
    while (tw_operator_at(context, (int)*n)) ++*n;
    const tw_operator **list = calloc(*n + 1, sizeof *list);
    for (size_t i = 0; list && i < *n; i++) list[i] = tw_operator_at(context, (int)i);
    if (list) qsort((void *)list, *n, sizeof *list, by_name);
    return list;
}

static void print_head(void) {
    printf("# Operators\n\n"
           "<!-- Generated by `thalweg operators` from the operator table; edits are lost. -->\n\n"
           "Every operator as its table entry says it. `thalweg operators NAME` prints one.\n\n"
           "- An *optional* operand may be left out. A *residual* is a result that is kept for\n"
           "  the gradient.\n"
           "- The *example* is one of the operator's samples in the text form. *Cost* is what one\n"
           "  run of it takes: arithmetic operations, and bytes read and written.\n"
           "- *Factors* say how the example may be cut: each has a size and names the dimensions\n"
           "  it belongs to (`x.0` is dimension 0 of `x`). *Pass*: operands and results are cut\n"
           "  alike. *Reduce*: operands are cut, a result that it does not name is partial.\n"
           "  *Permute*: the pieces come the last one first. *Halo*: a piece needs neighbours.\n"
           "  *Replicate*: no cut.\n"
           "- The *gradient* shows what a rule adds (`!backward`), and what it needs for that.\n");
}

/* A line for each first letter. */
static void print_index(size_t n, const tw_operator *const *list) {
    printf("\n## All operators\n");
    for (size_t i = 0; i < n; i++) {
        bool same = i && list[i]->name[0] == list[i - 1]->name[0];
        if (same)
            printf(" ·");
        else
            printf("%s\n**%c**", i ? "\n" : "", list[i]->name[0]);
        printf(" [%s](#%s)", list[i]->name, list[i]->name);
    }
    printf("\n");
}

void page_print(tw_context *context) {
    size_t n;
    const tw_operator **list = sorted(context, &n);
    if (!list) return;
    print_head();
    print_index(n, list);
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        printf("\n## %s\n\n%s\n\n", groups[g].title, groups[g].about);
        for (size_t i = 0; i < n; i++)
            if (list[i]->meaning == groups[g].meaning) page_print_operator(context, list[i]);
    }
    free((void *)list);
}
