/* A small GPT: configuration, scopes, loader, checkpoint: as the interface was drawn up. Sources like it must go on
 * compiling; check_programs.sh does that. The example of this name runs. */
/* clang-format off */
#include <thalweg/thalweg.h>
#include <stdio.h>

typedef struct { int layers, heads, width, context, vocab; double dropout; tw_optimizer optimizer; } gpt;
static tw_value block(tw_value x, const gpt *m) {              /* x is (batch, time, width) */
    tw_shape all = tw_shape_of(x), split = TW_SHAPE(all.dim[0], all.dim[1], m->heads, m->width / m->heads);
    tw_value qkv[3], h = tw_layer_norm(x, "ln1", NULL);
    tw_split(tw_dense(h, "qkv", 3 * m->width, &(tw_dense_opts){ .weight = tw_normal(0.02) }), -1, 3, qkv);
    for (int i = 0; i < 3; i++) qkv[i] = tw_reshape(qkv[i], split);
    h = tw_attention(qkv[0], qkv[1], qkv[2], &(tw_attention_opts){ .causal = true });
    x = tw_add(x, tw_dropout(tw_dense(tw_reshape(h, all), "proj", m->width, NULL), m->dropout, NULL));
    h = tw_gelu(tw_dense(tw_layer_norm(x, "ln2", NULL), "up", 4 * m->width, NULL));
    return tw_add(x, tw_dropout(tw_dense(h, "down", m->width, NULL), m->dropout, NULL));
}
void gpt_logits(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    const gpt *m = config;
    if (m->heads < 1 || m->width % m->heads) { tw_fail(g, "width %d, %d heads", m->width, m->heads); return; }
    tw_value wte = tw_parameter(g, "wte", TW_F32, TW_SHAPE(m->vocab, m->width), tw_normal(0.02));
    tw_value wpe = tw_parameter(g, "wpe", TW_F32, TW_SHAPE(m->context, m->width), tw_normal(0.01));
    tw_value x = tw_add(tw_take(wte, in[0]), tw_slice(wpe, 0, 0, tw_shape_of(in[0]).dim[1]));
    for (int i = 0; i < m->layers; i++) { tw_scope_begin(g, "h%d", i); x = block(x, m); tw_scope_end(g); }
    out[0] = tw_matmul(tw_layer_norm(x, "ln_f", NULL), tw_transpose(wte));      /* tied weights */
}
void gpt_loss(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    gpt_logits(g, in, out, config);
    out[0] = tw_cross_entropy(out[0], in[1], NULL);
}
void gpt_train(tw_graph *g, const tw_value *in, tw_value *out, const void *config) {
    gpt_loss(g, in, out, config);
    tw_minimize(out[0], &((const gpt *)config)->optimizer);
}
const gpt nano = { .layers = 6, .heads = 6, .width = 384, .context = 256, .vocab = 256, .dropout = 0.1,
    .optimizer = { .kind = TW_ADAMW, .rate = 1e-3, .weight_decay = 0.1, .no_decay = "*bias *ln*", .clip_norm = 1,
                   .schedule = { .kind = TW_COSINE, .warmup = 100, .steps = 5000 } } };
int main(void) {
    tw_context *c = tw_context_new(NULL);
    tw_store *vars = tw_store_new(c, &(tw_store_opts){ .seed = 7 });
    tw_loader_opts how = { .batch = 16, .shuffle = true, .repeat = true };
    tw_loader *data = tw_loader_text(c, "train.txt", 256, &how), *held = tw_loader_text(c, "val.txt", 256, &how);
    tw_jit *train = tw_jit_new(c, vars, gpt_train, 2, 1, &nano, sizeof nano, &(tw_jit_opts){ .training = true });
    tw_jit *eval = tw_jit_new(c, vars, gpt_loss, 2, 1, &nano, sizeof nano, NULL);
    tw_tensor *batch[2], *loss = NULL, *val = NULL;
    tw_status s = tw_checkpoint_load("out/gpt", vars, data);   /* weights, moments, step, random run, data cursor */
    if (s == TW_ERR_NOT_FOUND) s = TW_OK;
    while (!s && tw_store_step(vars) < 5000) {
        if ((s = tw_loader_next(data, batch)) || (s = tw_jit_run(train, batch, &loss))) break;
        if (tw_store_step(vars) % 500) continue;
        if ((s = tw_loader_next(held, batch)) || (s = tw_jit_run(eval, batch, &val))) break;
        printf("%g %g\n", tw_tensor_item(loss), tw_tensor_item(val));
        s = tw_checkpoint_save("out/gpt", vars, data);
    }
    if (s) fprintf(stderr, "%s\n", tw_message(c));
    tw_context_free(c);
}
