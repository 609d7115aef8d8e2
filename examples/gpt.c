/* A small GPT on the bytes of a text: configuration, scopes, loader, checkpoint. Run again, it goes on
 * from its checkpoint. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <thalweg/thalweg.h>

typedef struct {
    int layers, heads, width, context, vocab;
    double dropout;
    tw_optimizer optimizer;
} gpt;

static tw_value block(tw_value x, const gpt *m) { /* x is (batch, time, width) */
    tw_shape all = tw_shape_of(x);
    tw_shape split = TW_SHAPE(all.dim[0], all.dim[1], m->heads, m->width / m->heads);
    tw_value qkv[3], h = tw_layer_norm(x, "ln1", NULL);
    tw_dense_opts narrow = {.weight = tw_normal(0.02)};
    tw_split(tw_dense(h, "qkv", 3 * m->width, &narrow), -1, 3, qkv);
    for (int i = 0; i < 3; i++) qkv[i] = tw_reshape(qkv[i], split);
    h = tw_attention(qkv[0], qkv[1], qkv[2], &(tw_attention_opts){.causal = true});
    h = tw_dense(tw_reshape(h, all), "proj", m->width, NULL);
    x = tw_add(x, tw_dropout(h, m->dropout, NULL));
    h = tw_gelu(tw_dense(tw_layer_norm(x, "ln2", NULL), "up", 4 * m->width, NULL));
    return tw_add(x, tw_dropout(tw_dense(h, "down", m->width, NULL), m->dropout, NULL));
}
static void gpt_logits(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    const gpt *m = config;
    if (m->heads < 1 || m->width % m->heads) {
        tw_fail(g, "width %d, %d heads", m->width, m->heads);
        return;
    }
    tw_init init = tw_normal(0.02);
    tw_value wte = tw_parameter(g, "wte", TW_F32, TW_SHAPE(m->vocab, m->width), init);
    tw_value wpe = tw_parameter(g, "wpe", TW_F32, TW_SHAPE(m->context, m->width), init);
    tw_value x = tw_add(tw_take(wte, in[0]), tw_slice(wpe, 0, 0, tw_shape_of(in[0]).dim[1]));
    for (int i = 0; i < m->layers; i++) {
        tw_scope_begin(g, "h%d", i);
        x = block(x, m);
        tw_scope_end(g);
    }
    out[0] = tw_matmul(tw_layer_norm(x, "ln_f", NULL), tw_transpose(wte)); /* tied weights */
}
static void gpt_loss(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    gpt_logits(g, in, out, config);
    out[0] = tw_cross_entropy(out[0], in[1], NULL);
}
static void gpt_train(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    gpt_loss(g, in, out, config);
    tw_minimize(out[0], &((const gpt *)config)->optimizer);
}
static void write_text(const char *path, int sentences) {
    static const char *const who[] = {"the cat", "a dog", "my uncle", "the old tree"};
    static const char *const does[] = {"sees", "knows", "likes", "waits for"};
    FILE *file = fopen(path, "w");
    for (int i = 0; file && i < sentences; i++)
        fprintf(file, "%s %s %s.\n", who[rand() % 4], does[rand() % 4], who[rand() % 4]);
    if (file) fclose(file);
}

int main(void) {
    enum { LENGTH = 32, STEPS = 300 };
    const gpt nano = {.layers = 2,
                      .heads = 2,
                      .width = 32,
                      .context = LENGTH,
                      .vocab = 256,
                      .dropout = 0.01,
                      .optimizer = {.kind = TW_ADAMW,
                                    .rate = 5e-3,
                                    .weight_decay = 0.1,
                                    .no_decay = "*bias *ln*",
                                    .clip_norm = 1,
                                    .schedule = {.kind = TW_COSINE, .warmup = 20, .steps = STEPS}}};
    write_text("train.txt", 2000);
    write_text("val.txt", 200);
    tw_context *c = tw_context_new(NULL);
    tw_store *vars = tw_store_new(c, &(tw_store_opts){.seed = 7});
    tw_loader_opts how = {.batch = 16, .shuffle = true, .repeat = true};
    tw_loader *data = tw_loader_text(c, "train.txt", LENGTH, &how);
    tw_loader *held = tw_loader_text(c, "val.txt", LENGTH, &how);
    tw_jit_opts training = {.training = true};
    tw_jit *train = tw_jit_new(c, vars, gpt_train, 2, 1, &nano, sizeof nano, &training);
    tw_jit *eval = tw_jit_new(c, vars, gpt_loss, 2, 1, &nano, sizeof nano, NULL);
    tw_tensor *batch[2], *loss = NULL, *val = NULL;
    tw_status s = tw_checkpoint_load("out/gpt", vars, data); /* weights, moments, step, cursor */
    if (s == TW_ERR_NOT_FOUND) s = TW_OK;
    while (!s && tw_store_step(vars) < STEPS) {
        if ((s = tw_loader_next(data, batch)) || (s = tw_jit_run(train, batch, &loss))) break;
        if (tw_store_step(vars) % 50) continue;
        if ((s = tw_loader_next(held, batch)) || (s = tw_jit_run(eval, batch, &val))) break;
        printf("%g %g\n", tw_tensor_item(loss), tw_tensor_item(val));
        s = tw_checkpoint_save("out/gpt", vars, data);
    }
    if (s) fprintf(stderr, "%s\n", tw_message(c));
    bool good = !s && (!val || tw_tensor_item(val) < 1.5);
    tw_context_free(c);
    return good ? 0 : 1;
}
