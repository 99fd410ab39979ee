/* SPDX-License-Identifier: Apache-2.0 */
/* Heads in .headsds files, on the model of corpus/head/whole.npz: what a file says of its own model
 * is compared with that. The readers of models have fuzzers of their own. */
#include "fuzz_model.h"

#include "arrays.h"
#include "asset/asset.h"
#include "headfile/headfile.h"

static hds_head_model *load_model(void)
{
    static const char path[] = FUZZ_CORPUS "/head/whole.npz";
    static unsigned char bytes[1 << 16];
    hds_head_model *m = NULL;
    FILE *file = fopen(path, "rb");
    fuzz_input = bytes;
    fuzz_size = file ? fread(bytes, 1, sizeof bytes, file) : 0;
    if (!file || fclose(file) || headfile_load_npz(&m, path, NULL))
        abort();
    return m;
}

/* Every array is as long as its count says, and the head has vertices. */
static void use(const hds_head *head, const head_model *m)
{
    hds_head_info h;
    hds_error error = { 0 };
    hds_head_get_info(head, &h);
    fuzz_touch(h.prompt, strlen(h.prompt));
    fuzz_touch(h.shape, m->shape_count * sizeof *h.shape);
    fuzz_touch(h.expression, m->expression_count * sizeof *h.expression);
    fuzz_touch(h.pose, 3 * m->joint_count * sizeof *h.pose);
    fuzz_touch(h.history, h.history_count * sizeof *h.history);
    fuzz_touch(h.texture, h.texture ? 3 * h.texture_width * h.texture_height : 0);
    float *vertices = malloc(3 * m->vertex_count * sizeof *vertices);
    if (!vertices || hds_head_vertices(head, vertices, &error))
        abort();
    fuzz_touch(vertices, 3 * m->vertex_count * sizeof *vertices);
    free(vertices);
    fuzz_loaded++;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static hds_head_model *model;
    hds_head *head = NULL;
    hds_error error = { 0 };
    if (!model)
        model = load_model();
    fuzz_input = data;
    fuzz_size = size;
    hds_status status = hds_head_load(&head, "input", model, &error);
    fuzz_check(status, &error, "input");
    if ((status == HDS_OK) != (head != NULL))
        abort();
    if (head)
        use(head, model);
    hds_head_unref(head);
    return 0;
}

size_t LLVMFuzzerCustomMutator(unsigned char *data, size_t size, size_t room, unsigned seed)
{
    fuzz_input = data;
    fuzz_size = size;
    size_t written = seed % 8 ? fuzz_arrays_mutate_npz("input", seed, data, room) : 0;
    return written ? written : LLVMFuzzerMutate(data, size, room);
}
