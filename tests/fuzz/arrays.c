/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays read from a file, changed, mended, and written as an .npz or a pickle: see arrays.h. */
#include "arrays.h"

#include "io/io_priv.h"

#include <math.h>
#include <string.h>

enum { LARGEST = 6000 /* bytes of an array */ };

/* What head models of both formats and heads have: of a kind ('n': any numbers) and size (0: any),
 * with these extents. P is 9 (J - 1). */
static const struct field {
    const char *name;
    char kind;
    int size;
    const char *shape;
} fields[] = {
    { "name", 'S', 0, "" },
    { "vertices", 'f', 0, "V3" },
    { "faces", 'u', 4, "F3" },
    { "uvs", 'f', 0, "T2" },
    { "uv_faces", 'u', 4, "F3" },
    { "shape_basis", 'f', 0, "SV3" },
    { "expression_basis", 'f', 0, "EV3" },
    { "expression_names", 'S', 0, "E" },
    { "joints", 'f', 0, "J3" },
    { "joint_parents", 'i', 4, "J" },
    { "joint_names", 'S', 0, "J" },
    { "joint_shape_basis", 'f', 0, "SJ3" },
    { "joint_expression_basis", 'f', 0, "EJ3" },
    { "pose_basis", 'f', 0, "PV3" },
    { "skin_weights", 'f', 0, "VJ" },
    { "mean_texture", 'u', 1, "HW3" },
    { "v_template", 'n', 0, "V3" },
    { "f", 'n', 0, "F3" },
    { "shapedirs", 'n', 0, "V3N" },
    { "posedirs", 'n', 0, "V3P" },
    { "J_regressor", 'n', 0, "JV" },
    { "kintree_table", 'n', 0, "2J" },
    { "weights", 'n', 0, "VJ" },
    { "mean", 'n', 0, "HW3" },
    { "format", 'S', 0, "" },
    { "model_path", 'S', 0, "" },
    { "model_uv_template", 'S', 0, "" },
    { "model_mean_texture", 'S', 0, "" },
    { "model_name", 'S', 0, "" },
    { "model_counts", 'u', 8, "6" },
    { "model_topology", 'u', 8, "" },
    { "model_base_pose", 'f', 4, "J3" },
    { "prompt", 'S', 0, "" },
    { "shape", 'f', 4, "S" },
    { "expression", 'f', 4, "E" },
    { "pose", 'f', 4, "J3" },
    { "offsets", 'f', 4, "V3" },
    { "texture", 'u', 1, "HW3" },
    { "history_stage", 'i', 4, "L" },
    { "history_step", 'i', 4, "L" },
    { "history_numbers", 'f', 4, "L3" },
};
enum { FIELDS = sizeof fields / sizeof *fields };

static const struct field *field_of(const io_array *a)
{
    for (size_t i = 0; i < FIELDS; i++)
        if (!strcmp(fields[i].name, a->name))
            return &fields[i];
    return NULL;
}

static bool is_of(const io_array *a, const char *name, const char *other)
{
    return !strcmp(a->name, name) || !strcmp(a->name, other);
}

static size_t count_of(const io_array *a)
{
    return a->size / (size_t)a->itemsize;
}

void fuzz_arrays_finish(fuzz_arrays *a)
{
    for (size_t i = 0; i < a->count; i++) {
        hds_free(a->arrays[i].name);
        hds_free(a->arrays[i].data);
    }
    *a = (fuzz_arrays){ 0 };
}

void fuzz_arrays_take(fuzz_arrays *a, io_npz *npz)
{
    *a = (fuzz_arrays){ 0 };
    for (size_t i = 0; i < npz->count && a->count < FUZZ_ARRAYS; i++) {
        a->arrays[a->count++] = npz->arrays[i];
        npz->arrays[i] = (io_array){ 0 };
    }
}

static void add_value(fuzz_arrays *a, const io_value *name, const io_value *value, fuzz_form form)
{
    io_array *array = &a->arrays[a->count];
    if (a->count == FUZZ_ARRAYS || io_value_array(array, value, "input", NULL) != HDS_OK)
        return;
    array->name = hds_format("%.*s", (int)name->count, name->bytes);
    a->forms[a->count++] = form;
}

void fuzz_arrays_read_pickle(fuzz_arrays *a, const void *bytes, size_t size)
{
    static const char *const globals[] = { "chumpy.ch.Ch", "scipy.sparse.csc.csc_matrix",
                                           "scipy.sparse.csr.csr_matrix", NULL };
    static const char *const parts[] = { "data", "indices", "indptr" };
    io_pickle pickle;
    *a = (fuzz_arrays){ 0 };
    if (io_pickle_parse(&pickle, bytes, size, globals, "input", NULL) != HDS_OK)
        return;
    const io_value *root = pickle.root;
    for (size_t i = 0; root->kind == IO_VALUE_DICT && i + 1 < root->count; i += 2) {
        const io_value *name = root->items[i], *value = root->items[i + 1];
        if (name->kind != IO_VALUE_TEXT && name->kind != IO_VALUE_BYTES)
            continue;
        if (io_value_is_of(value, globals[0]))
            add_value(a, name, io_value_get(value, "x"), FUZZ_CHUMPY);
        else if (io_value_is_of(value, globals[1]) || io_value_is_of(value, globals[2]))
            for (int k = 0; k < 3; k++)
                add_value(a, name, io_value_get(value, parts[k]),
                          io_value_is_of(value, globals[1]) ? FUZZ_BY_COLUMN : FUZZ_BY_ROW);
        else
            add_value(a, name, value, FUZZ_PLAIN);
    }
    io_pickle_close(&pickle);
}

/* ---- mutation ---- */

/* Another shape or type: the old bytes, again and again; too large: as it was. */
static void reshape(io_array *a, const io_array *as)
{
    size_t bytes;
    if (!io_shape_bytes(as->shape, as->dims, (size_t)as->itemsize, &bytes) || bytes > LARGEST)
        return;
    unsigned char *data = hds_alloc(bytes, 1), *old = a->data;
    for (size_t i = 0; data && a->size && i < bytes; i++)
        data[i] = old[i % a->size];
    io_array changed = *as;
    changed.data = data;
    changed.size = bytes;
    hds_free(a->data);
    *a = changed;
}

static void put_number(io_array *a, size_t index, double number)
{
    unsigned char *at = (unsigned char *)a->data + index * (size_t)a->itemsize;
    float narrow = (float)number;
    uint16_t half;
    int64_t integer = fabs(number) < 1e18 ? (int64_t)number : INT64_MIN;
    io_f32_to_f16(&narrow, &half, 1);
    if (a->kind == 'f' && a->itemsize == 8)
        memcpy(at, &number, sizeof number);
    else if (a->kind == 'f' && a->itemsize == 4)
        memcpy(at, &narrow, sizeof narrow);
    else if (a->kind == 'f')
        memcpy(at, &half, sizeof half);
    else if (a->itemsize <= 8)
        memcpy(at, &integer, (size_t)a->itemsize);
}

/* What readers check numbers against: special ones, the own place, the extent of any array. */
static void set_number(fuzz_arrays *a, io_array *x, rng *r)
{
    static const double special[] = { NAN,  INFINITY, -INFINITY, -1,    0,     1,
                                      -0.5, 0.5,      1e-9,      1e38,  1e39,  4e9,
                                      9e9,  256,      32767,     65536, 0x1p63 };
    const io_array *other = &a->arrays[rng_below(r, (uint32_t)a->count)];
    size_t count = count_of(x);
    if (!count)
        return;
    uint32_t index = rng_below(r, (uint32_t)count);
    double number = special[rng_below(r, sizeof special / sizeof *special)];
    uint32_t which = rng_below(r, 4);
    if (which == 0)
        number = index + (double)rng_below(r, 2);
    else if (which == 1 && other->dims)
        number = (double)other->shape[rng_below(r, (uint32_t)other->dims)];
    put_number(x, index, number);
}

/* 1 to 9, or what stands beside `old`; now and then 0 or far too many. */
static int64_t another_extent(int64_t old, rng *r)
{
    static const int64_t rare[] = { 0, 1, 300, 301, 1000, 16385 };
    uint32_t which = rng_below(r, 8);
    return which == 0  ? rare[rng_below(r, 6)]
           : which < 3 ? old + (which == 1 ? 1
                                : old > 0  ? -1
                                           : 0)
                       : 1 + rng_below(r, 9);
}

static void change_extent(io_array *a, rng *r)
{
    io_array as = *a;
    int d = a->dims ? (int)rng_below(r, (uint32_t)a->dims) : 0;
    as.shape[d] = another_extent(as.shape[d], r);
    if (a->dims)
        reshape(a, &as);
}

static void change_dims(io_array *a, rng *r)
{
    io_array as = *a;
    if (rng_below(r, 2) && as.dims)
        as.dims--;
    else if (as.dims < IO_MAX_DIMS)
        as.shape[as.dims++] = 1;
    reshape(a, &as);
}

static void change_type(io_array *a, rng *r)
{
    static const struct {
        char kind;
        int size;
    } types[] = { { 'f', 2 }, { 'f', 4 }, { 'f', 8 }, { 'u', 1 }, { 'u', 2 },
                  { 'u', 4 }, { 'u', 8 }, { 'i', 1 }, { 'i', 2 }, { 'i', 4 },
                  { 'i', 8 }, { 'b', 1 }, { 'S', 3 } };
    size_t t = rng_below(r, sizeof types / sizeof *types);
    io_array as = *a;
    as.kind = types[t].kind;
    as.itemsize = types[t].size;
    reshape(a, &as);
}

static void rename_array(io_array *a, rng *r)
{
    hds_free(a->name);
    a->name = hds_strdup(fields[rng_below(r, FIELDS)].name);
}

static void drop(fuzz_arrays *a, size_t index)
{
    hds_free(a->arrays[index].name);
    hds_free(a->arrays[index].data);
    a->count--;
    for (size_t i = index; i < a->count; i++) {
        a->arrays[i] = a->arrays[i + 1];
        a->forms[i] = a->forms[i + 1];
        a->fortran[i] = a->fortran[i + 1];
    }
}

static void repeat(fuzz_arrays *a, size_t index, rng *r)
{
    if (a->count == FUZZ_ARRAYS)
        return;
    io_array *copy = &a->arrays[a->count], as = a->arrays[index];
    *copy = (io_array){ .name = NULL };
    reshape(copy, &as);
    if (!copy->data)
        return;
    for (size_t i = 0; i < copy->size; i++)
        ((unsigned char *)copy->data)[i] = ((unsigned char *)as.data)[i];
    copy->name = hds_strdup(as.name);
    if (rng_below(r, 2))
        rename_array(copy, r);
    a->forms[a->count++] = FUZZ_PLAIN;
}

/* ---- mending ---- */

typedef int64_t extents[128]; /* by letter; -1: not known */

static void mend_shape(io_array *a, const struct field *f, const extents known)
{
    io_array as = *a;
    bool number = strchr("fiu", as.kind);
    as.dims = (int)strlen(f->shape);
    for (int d = 0; d < as.dims; d++) {
        char letter = f->shape[d];
        as.shape[d] = letter <= '9' ? letter - '0' : known[(int)letter];
    }
    if (f->kind == 'n' ? !number : as.kind != f->kind || (f->size && as.itemsize != f->size)) {
        as.kind = f->kind == 'n' ? 'f' : f->kind;
        as.itemsize = f->size ? f->size : 4;
    }
    reshape(a, &as);
}

/* Reals are finite, indices below the limit, weights those of one joint, and each joint hangs on
 * the one before. */
static void mend_numbers(io_array *a, const extents known)
{
    int64_t limit = is_of(a, "faces", "f") ? known['V'] : is_of(a, "uv_faces", "") ? known['T'] : 0;
    size_t wide = is_of(a, "skin_weights", "weights") ? (size_t)known['J'] : 0;
    bool parents = is_of(a, "joint_parents", "kintree_table");
    for (size_t k = 0; k < count_of(a) && a->kind != 'S'; k++) {
        const unsigned char *at = (unsigned char *)a->data + k * (size_t)a->itemsize;
        float real = 0;
        uint64_t integer = k;
        if (a->kind == 'f')
            io_to_f32(at, a->itemsize == 8 ? IO_F64 : a->itemsize == 4 ? IO_F32 : IO_F16, &real, 1);
        else
            memcpy(&integer, at, (size_t)a->itemsize);
        if (parents)
            put_number(a, k, (double)k - 1);
        else if (wide)
            put_number(a, k, k % wide == k / wide % wide);
        else if (limit)
            put_number(a, k, (double)(integer % (uint64_t)limit));
        else if (!isfinite(real))
            put_number(a, k, 0);
    }
}

/* data, indices, indptr: what there is of data stands one a line, the rest of the lines is empty */
static void mend_sparse(io_array x[3], int64_t lines, int64_t across)
{
    for (int i = 0; i < 3; i++) {
        io_array as = x[i];
        as.dims = 1;
        as.shape[0] = i == 2 ? lines + 1 : x[0].size ? x[0].shape[0] : 1;
        as.kind = i ? 'i' : 'f';
        as.itemsize = 4;
        reshape(&x[i], &as);
    }
    for (size_t k = 0; k < count_of(&x[1]); k++)
        put_number(&x[1], k, (double)((int64_t)k % across));
    for (size_t k = 0; k < count_of(&x[2]); k++)
        put_number(&x[2], k, (double)(k < count_of(x) ? k : count_of(x)));
}

/* Makes the arrays fit each other again, by the extents of those that come first from a random
 * place on. */
static void mend(fuzz_arrays *a, rng *r)
{
    extents known;
    for (size_t i = 1; i < a->count; i++)
        for (size_t k = 0; k < i; k++)
            if (!strcmp(a->arrays[i].name, a->arrays[k].name) && a->forms[i] <= FUZZ_CHUMPY) {
                drop(a, i--);
                break;
            }
    for (int i = 0; i < 128; i++)
        known[i] = -1;
    for (size_t i = 0, first = rng_below(r, FUZZ_ARRAYS); i < a->count; i++) {
        const io_array *x = &a->arrays[(first + i) % a->count];
        const struct field *f = field_of(x);
        for (int d = 0; f && d < x->dims && x->dims == (int)strlen(f->shape); d++)
            if (known[(int)f->shape[d]] < 0 && x->shape[d] > 0)
                known[(int)f->shape[d]] = x->shape[d];
    }
    for (int i = 0; i < 128; i++)
        known[i] = known[i] > 0 ? known[i] : 1 + rng_below(r, 5);
    known['P'] = 9 * (known['J'] - 1);
    for (size_t i = 0; i < a->count; i++) {
        io_array *x = &a->arrays[i];
        const struct field *f = field_of(x);
        bool by_column = a->forms[i] == FUZZ_BY_COLUMN;
        if (a->forms[i] > FUZZ_CHUMPY && i + 2 < a->count) {
            mend_sparse(x, known[by_column ? 'V' : 'J'], known[by_column ? 'J' : 'V']);
            i += 2;
        } else if (f && a->forms[i] <= FUZZ_CHUMPY) {
            mend_shape(x, f, known);
            mend_numbers(x, known);
        }
    }
}

static void mutate_one(fuzz_arrays *a, rng *r)
{
    size_t index = rng_below(r, (uint32_t)a->count);
    io_array *x = &a->arrays[index];
    switch (rng_below(r, 10)) {
    case 0:
        if (x->size)
            (void)LLVMFuzzerMutate(x->data, x->size, x->size);
        break;
    case 1:
    case 2:
    case 3:
        set_number(a, x, r);
        break;
    case 4:
    case 5:
        change_extent(x, r);
        break;
    case 6:
        change_dims(x, r);
        break;
    case 7:
        change_type(x, r);
        break;
    case 8:
        if (rng_below(r, 2))
            repeat(a, index, r);
        else if (a->count > 1)
            drop(a, index);
        break;
    default:
        a->fortran[index] = !a->fortran[index];
        if (a->forms[index] <= FUZZ_CHUMPY)
            a->forms[index] = rng_below(r, 2) ? FUZZ_CHUMPY : FUZZ_PLAIN;
    }
}

void fuzz_arrays_mutate(fuzz_arrays *a, unsigned seed)
{
    rng r = rng_make(seed, 0);
    uint32_t order = rng_below(&r, 3); /* whole but for one thing; whole; broken further */
    if (a->count && order == 0)
        mend(a, &r);
    for (uint32_t times = order ? 1 + rng_below(&r, 3) : 1; times > 0 && a->count; times--)
        mutate_one(a, &r);
    if (a->count && order == 1)
        mend(a, &r);
}

/* ---- writing ---- */

typedef struct output {
    unsigned char *out;
    size_t used, room;
} output;

static void put(output *o, const void *bytes, size_t size)
{
    if (o->used <= o->room && size <= o->room - o->used)
        memcpy(o->out + o->used, bytes, size);
    o->used += size;
}

static void put_word(output *o, const char *text)
{
    put(o, text, strlen(text));
}

/* Little-endian. */
static void put_integer(output *o, uint64_t number, size_t bytes)
{
    for (; bytes > 0; bytes--, number >>= 8)
        put(o, &(unsigned char){ (unsigned char)number }, 1);
}

static uint32_t crc(uint32_t sum, const void *bytes, size_t size)
{
    sum = ~sum;
    for (const unsigned char *at = bytes; size > 0; size--) {
        sum ^= *at++;
        for (int bit = 0; bit < 8; bit++)
            sum = sum >> 1 ^ (sum & 1 ? 0xedb88320u : 0);
    }
    return ~sum;
}

typedef struct member {
    char header[512];
    size_t length, size; /* of the header, of it and the data */
    uint32_t checksum, place;
} member;

/* The part that both headers of a member share: version to the length of the name. */
static void put_member(output *o, const member *m, const char *name)
{
    put_integer(o, 20, 2);
    put_integer(o, 0, 4);          /* flags, method: stored */
    put_integer(o, 0x00210000, 4); /* 1 January 1980 */
    put_integer(o, m->checksum, 4);
    put_integer(o, m->size, 4);
    put_integer(o, m->size, 4);
    put_integer(o, strlen(name) + 4, 2);
    put_integer(o, 0, 2);
}

size_t fuzz_arrays_write_npz(const fuzz_arrays *a, unsigned char *out, size_t room)
{
    static const char order[] = "'fortran_order': False";
    output o = { out, 0, room };
    member members[FUZZ_ARRAYS];
    for (size_t i = 0; i < a->count; i++) {
        member *m = &members[i];
        const io_array *x = &a->arrays[i];
        m->length = io_npy_header(x, m->header, sizeof m->header);
        char *said = a->fortran[i] ? memmem(m->header, m->length, order, sizeof order - 1) : NULL;
        if (said)
            memcpy(said + sizeof order - 6, "True ", 5);
        m->size = m->length + x->size;
        m->checksum = crc(crc(0, m->header, m->length), x->data, x->size);
        m->place = (uint32_t)o.used;
        put_word(&o, "PK\3\4");
        put_member(&o, m, x->name);
        put_word(&o, x->name);
        put_word(&o, ".npy");
        put(&o, m->header, m->length);
        put(&o, x->data, x->size);
    }
    size_t directory = o.used;
    for (size_t i = 0; i < a->count; i++) {
        put_word(&o, "PK\1\2");
        put_integer(&o, 20, 2);
        put_member(&o, &members[i], a->arrays[i].name);
        put_integer(&o, 0, 10); /* comment, disk, attributes */
        put_integer(&o, members[i].place, 4);
        put_word(&o, a->arrays[i].name);
        put_word(&o, ".npy");
    }
    size_t end = o.used;
    put_word(&o, "PK\5\6");
    put_integer(&o, 0, 4);
    put_integer(&o, a->count, 2);
    put_integer(&o, a->count, 2);
    put_integer(&o, end - directory, 4);
    put_integer(&o, directory, 4);
    put_integer(&o, 0, 2);
    return o.used <= room ? o.used : 0;
}

size_t fuzz_arrays_mutate_npz(const char *path, unsigned seed, unsigned char *out, size_t room)
{
    fuzz_arrays arrays;
    io_npz npz;
    if (io_npz_open(&npz, path, 1 << 20, NULL) != HDS_OK)
        return 0;
    fuzz_arrays_take(&arrays, &npz);
    io_npz_close(&npz);
    fuzz_arrays_mutate(&arrays, seed);
    size_t written = arrays.count ? fuzz_arrays_write_npz(&arrays, out, room) : 0;
    fuzz_arrays_finish(&arrays);
    return written;
}

static void put_text(output *o, const char *text)
{
    put_word(o, "X");
    put_integer(o, strlen(text), 4);
    put_word(o, text);
}

/* _reconstruct(ndarray, (0,), b'b') and its state, as NumPy does it. */
static void put_array(output *o, const io_array *x, bool fortran)
{
    char type[8];
    snprintf(type, sizeof type, "%c%d", x->kind, x->itemsize % 1000);
    put_word(o, "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nI0\n\205C\1btR(I1\n(");
    for (int d = 0; d < x->dims; d++) {
        put_word(o, "J");
        put_integer(o, (uint64_t)x->shape[d], 4);
    }
    put_word(o, "tcnumpy\ndtype\n(");
    put_text(o, type);
    put_word(o, "I0\nI1\ntR(I3\n");
    put_text(o, "<");
    put_word(o, "NNNI-1\nI-1\nI0\ntb");
    put_word(o, fortran ? "\210B" : "\211B");
    put_integer(o, x->size, 4);
    put(o, x->data, x->size);
    put_word(o, "tb");
}

size_t fuzz_arrays_write_pickle(const fuzz_arrays *a, unsigned char *out, size_t room)
{
    static const char *const made[] = { [FUZZ_CHUMPY] = "cchumpy.ch\nCh\n)\201}(",
                                        [FUZZ_BY_COLUMN] = "cscipy.sparse.csc\ncsc_matrix\n)\201}(",
                                        [FUZZ_BY_ROW] = "cscipy.sparse.csr\ncsr_matrix\n)\201}(" };
    static const char *const parts[] = { "data", "indices", "indptr" };
    output o = { out, 0, room };
    put_word(&o, "\200\4}(");
    for (size_t i = 0; i < a->count;) {
        fuzz_form form = a->forms[i];
        put_text(&o, a->arrays[i].name);
        if (form == FUZZ_PLAIN) {
            put_array(&o, &a->arrays[i], a->fortran[i]);
            i++;
            continue;
        }
        put_word(&o, made[form]);
        for (int k = 0; k < (form == FUZZ_CHUMPY ? 1 : 3) && i < a->count; k++, i++) {
            put_text(&o, form == FUZZ_CHUMPY ? "x" : parts[k]);
            put_array(&o, &a->arrays[i], a->fortran[i]);
        }
        put_word(&o, "ub");
    }
    put_word(&o, "u.");
    return o.used <= room ? o.used : 0;
}
