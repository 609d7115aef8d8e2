/* A table in a CSV file, with words, numbers and gaps: read, standardised, split, and learnt by a small
 * network. The task: does a point lie inside a ring whose size its colour says? */
#include <stdio.h>
#include <stdlib.h>
#include <thalweg/thalweg.h>

enum { ROWS = 2000, FEATURES = 3 };

static double uniform(void) { return rand() / (double)RAND_MAX; }

static bool write_table(const char *path) {
    FILE *file = fopen(path, "w");
    if (!file) return false;
    fprintf(file, "x,y,colour,place\n");
    for (int i = 0; i < ROWS; i++) {
        double x = 2 * uniform() - 1, y = 2 * uniform() - 1, radius = i % 2 ? 0.9 : 0.6;
        if (i % 50) fprintf(file, "%.4f", x); /* the field is empty now and then */
        fprintf(file, ",%.4f,%s,", y, i % 2 ? "red" : "blue");
        fprintf(file, "%s\n", x * x + y * y < radius * radius ? "inside" : "outside");
    }
    return !fclose(file);
}

/* in[] are features f32 (batch, columns) and labels i32 (batch); out[] the loss, the correct answers. */
static void model(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    tw_value h = tw_dense(in[0], "hidden", 32, &(tw_dense_opts){.relu = true});
    tw_value logits =
        tw_dense(tw_dense(h, "more", 32, &(tw_dense_opts){.relu = true}), "out", 2, NULL);
    out[0] = tw_cross_entropy(logits, in[1], NULL);
    out[1] = tw_correct(logits, in[1]);
    if (tw_training(g)) tw_minimize(out[0], &(tw_optimizer){.kind = TW_ADAM, .rate = 0.01});
    (void)config;
}

int main(void) {
    if (!write_table("ring.csv")) return 1;
    tw_context *c = tw_context_new(NULL);
    tw_dataset *table =
        tw_dataset_csv(c, "ring.csv", &(tw_csv_opts){.label = "place", .fill_mean = true});
    tw_dataset *train = NULL, *held = NULL;
    tw_status s = tw_dataset_split(table, 0.2, 1, &train, &held);
    tw_loader *batches =
        tw_loader_new(train, &(tw_loader_opts){.batch = 64, .shuffle = true, .seed = 1});
    tw_loader *others = tw_loader_new(held, &(tw_loader_opts){.batch = 64});
    tw_store *vars = tw_store_new(c, &(tw_store_opts){.seed = 1});
    /* The letters open axis 0: the last batch of an epoch is smaller, and needs no compile of its own. */
    tw_jit_opts training = {.training = true, .open = "nn"}, evaluation = {.open = "nn"};
    tw_jit *step = tw_jit_new(c, vars, model, 2, 2, NULL, 0, &training);
    tw_jit *eval = tw_jit_new(c, vars, model, 2, 2, NULL, 0, &evaluation);
    tw_tensor *batch[2], *out[2] = {NULL};
    double accuracy = 0;
    for (int epoch = 0; epoch < 20 && !s; epoch++) {
        double loss = 0, correct = 0;
        while (!(s = tw_loader_next(batches, batch)) && !(s = tw_jit_run(step, batch, out)))
            loss = tw_tensor_item(out[0]);
        if (s != TW_END) break;
        while (!(s = tw_loader_next(others, batch)) && !(s = tw_jit_run(eval, batch, out)))
            correct += tw_tensor_item(out[1]);
        if (s != TW_END) break;
        s = TW_OK;
        accuracy = correct / (double)tw_dataset_count(held);
        if (epoch % 5 == 4)
            printf("epoch %d loss %.3f, accuracy %.3f\n", epoch + 1, loss, accuracy);
    }
    for (int code = 0; code < 2; code++)
        printf("class %d is \"%s\"\n", code, tw_dataset_class(table, 1, code));
    if (s) fprintf(stderr, "%s\n", tw_message(c));
    tw_context_free(c);
    remove("ring.csv");
    return accuracy > 0.9 ? 0 : 1;
}
