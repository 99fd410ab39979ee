/* SPDX-License-Identifier: Apache-2.0 */
/* MATLAB files of version 7.3: the part of HDF5 that MATLAB writes. Behind 512 bytes of its own lie
 *
 *   superblock 0 -> object header of the root group -> symbol table: a tree of lists of names
 *   object header 1, of an array: dataspace, datatype, layout 3, filters, attributes
 *   layout: compact, contiguous, or chunks by a tree, each packed by shuffle and deflate, or not
 *
 * with addresses from the superblock on. What newer libraries write besides is refused, with the
 * cure. "HDF5 File Format Specification Version 3.0", sections II.A, III.A, III.C-D, IV.A. */
#include "io_priv.h"

#include <string.h>
#include <zlib.h>

enum { USER_BLOCK = 512, OFFSET = 8, NODE_SIZE = 24, HEADER_SIZE = 16, MOST_BLOCKS = 32 };
enum { OF_NAMES, OF_CHUNKS }; /* trees */
enum { SPACE = 1, TYPE = 3, LAYOUT = 8, FILTERS = 11, ATTRIBUTE = 12, CONTINUED = 16, TABLE = 17 };
enum { COMPACT, CONTIGUOUS, CHUNKED }; /* layouts */
enum { DEFLATE = 1, SHUFFLE = 2, MOST_FILTERS = 4 };

/* Functions below return what is wrong, or NULL. */
typedef const char *problem;
#define AGAIN "; save it in MATLAB with -v7"
static const char cut[] = "reaches out of the file; it may be cut short: fetch it again";

typedef struct hdf {
    const unsigned char *bytes; /* from the superblock on */
    size_t size;
    size_t nodes; /* of trees that may still be visited: there is room for no more */
} hdf;

static hdf open_hdf(const io_mat *mat)
{
    size_t size = mat->map.size - USER_BLOCK;
    return (hdf){ mat->map.bytes + USER_BLOCK, size, size / NODE_SIZE };
}

static const unsigned char *find(const hdf *h, uint64_t address, uint64_t size)
{
    return size <= h->size && address <= h->size - size ? h->bytes + address : NULL;
}

/* ---- trees (III.A.1) ---- */

typedef problem (*tree_leaf)(void *context, const unsigned char *key, uint64_t child);
typedef struct tree {
    hdf *h;
    unsigned kind;
    size_t key_size;
    tree_leaf leaf;
    void *context;
} tree;

/* What is visited costs as many nodes as it has parts of a node's size. */
static problem charge(hdf *h, size_t nodes)
{
    if (nodes > h->nodes)
        return "has a tree in which nodes lie twice" AGAIN;
    h->nodes -= nodes;
    return NULL;
}

/* level: the node's, or -1 for any: of the root. */
static problem walk(const tree *t, uint64_t address, int level)
{
    const unsigned char *node = find(t->h, address, NODE_SIZE);
    size_t entry = t->key_size + OFFSET, count = node ? io_little(node + 6, 2) : 0;
    if (!node || !find(t->h, address, NODE_SIZE + count * entry + t->key_size))
        return cut;
    if (memcmp(node, "TREE", 4) || node[4] != t->kind || (level >= 0 && node[5] != level))
        return "has a broken tree" AGAIN;
    problem wrong = charge(t->h, 1);
    for (size_t i = 0; i < count && !wrong; i++) {
        const unsigned char *key = node + NODE_SIZE + i * entry;
        uint64_t child = io_little(key + t->key_size, OFFSET);
        wrong = node[5] ? walk(t, child, node[5] - 1) : t->leaf(t->context, key, child);
    }
    return wrong;
}

/* ---- object headers (IV.A.1.a) ---- */

typedef struct message {
    unsigned type;
    const unsigned char *at;
    size_t size;
} message;

typedef struct messages {
    const hdf *h;
    const unsigned char *at, *end;
    unsigned left;
    const unsigned char *blocks[MOST_BLOCKS]; /* that follow: beginnings and ends */
    size_t sizes[MOST_BLOCKS];
    int first, count;
} messages;

static problem open_messages(messages *s, const hdf *h, const unsigned char *header)
{
    uint64_t size = io_little(header + 8, 4);
    *s = (messages){ .h = h,
                     .at = header + HEADER_SIZE,
                     .left = (unsigned)io_little(header + 2, 2) };
    if (header[0] != 1)
        return "has an object header of another version than MATLAB's" AGAIN;
    if (!find(h, (uint64_t)(s->at - h->bytes), size))
        return cut;
    s->end = s->at + size;
    return NULL;
}

/* type 0 when there are no more. */
static problem next_message(messages *s, message *m)
{
    *m = (message){ 0 };
    while (s->left) {
        if (s->end - s->at < 8) {
            if (s->first == s->count)
                return NULL;
            s->at = s->blocks[s->first];
            s->end = s->at + s->sizes[s->first++];
            continue;
        }
        *m = (message){ (unsigned)io_little(s->at, 2), s->at + 8, io_little(s->at + 2, 2) };
        if (m->size > (size_t)(s->end - m->at))
            return cut;
        unsigned flags = s->at[4];
        s->at = m->at + m->size;
        s->left--;
        if (m->type == CONTINUED) {
            uint64_t address = m->size < 16 ? UINT64_MAX : io_little(m->at, OFFSET);
            uint64_t size = m->size < 16 ? 0 : io_little(m->at + OFFSET, OFFSET);
            if (s->count == MOST_BLOCKS || !find(s->h, address, size))
                return cut;
            s->blocks[s->count] = s->h->bytes + address;
            s->sizes[s->count++] = size;
        } else if (m->type) {
            return flags & 2 ? "shares a part of its header" AGAIN : NULL;
        }
    }
    m->type = 0;
    return NULL;
}

/* ---- names (III.B to III.D) ---- */

typedef struct lister {
    hdf *h;
    io_mat *mat;
    const unsigned char *names;
    size_t names_size;
    hds_status status;
    hds_error *error;
} lister;

static problem list_names(void *context, const unsigned char *key, uint64_t child)
{
    lister *l = context;
    const unsigned char *list = find(l->h, child, 8);
    size_t count = list ? io_little(list + 6, 2) : 0;
    if (!list || !find(l->h, child, 8 + 40 * count))
        return cut;
    if (memcmp(list, "SNOD\1", 5))
        return "has a broken list of names" AGAIN;
    problem wrong = charge(l->h, count + 1);
    for (size_t i = 0; i < count && !wrong; i++) {
        const unsigned char *entry = list + 8 + 40 * i;
        uint64_t place = io_little(entry, OFFSET);
        const unsigned char *header = find(l->h, io_little(entry + OFFSET, OFFSET), HEADER_SIZE);
        size_t left = place < l->names_size ? l->names_size - place : 0;
        const char *name = (const char *)l->names + (left ? place : 0);
        size_t length = left ? strnlen(name, left < IO_MAT_NAME ? left : IO_MAT_NAME) : 0;
        if (!header)
            return cut;
        if (!length || length == left || length == IO_MAT_NAME)
            return "has a broken name" AGAIN;
        if (name[0] != '#') /* which MATLAB keeps for itself */
            l->status = io_mat_add(l->mat, name, header, 0, l->error);
        if (l->status)
            return "";
    }
    return wrong;
}

static problem list_root(lister *l)
{
    const unsigned char *super = l->h->bytes, *header, *heap;
    static const unsigned char begin[] = { 0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n' };
    messages s;
    message m;
    if (memcmp(super, begin, sizeof begin))
        return "has no HDF5 data behind its first 512 bytes" AGAIN;
    if (super[8] || super[13] != OFFSET || super[14] != OFFSET ||
        io_little(super + 24, OFFSET) != USER_BLOCK)
        return "was not written as MATLAB does" AGAIN;
    if (!(header = find(l->h, io_little(super + 64, OFFSET), HEADER_SIZE)))
        return cut;
    problem wrong = open_messages(&s, l->h, header);
    do
        wrong = wrong ? wrong : next_message(&s, &m);
    while (!wrong && m.type && m.type != TABLE);
    if (wrong)
        return wrong;
    if (!m.type || m.size < 16)
        return "has no table of names" AGAIN;
    if (!(heap = find(l->h, io_little(m.at + OFFSET, OFFSET), 32)) || memcmp(heap, "HEAP", 5))
        return "has no names" AGAIN;
    l->names_size = io_little(heap + 8, OFFSET);
    if (!(l->names = find(l->h, io_little(heap + 24, OFFSET), l->names_size)))
        return cut;
    return walk(&(tree){ l->h, OF_NAMES, OFFSET, list_names, l }, io_little(m.at, OFFSET), -1);
}

hds_status io_mat_list_hdf(io_mat *mat, hds_error *error)
{
    if (mat->map.size < USER_BLOCK + 96)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s", mat->path, cut);
    hdf h = open_hdf(mat);
    lister l = { .h = &h, .mat = mat, .error = error };
    problem wrong = list_root(&l);
    if (l.status || !wrong)
        return l.status;
    return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s", mat->path, wrong);
}

/* ---- what an array is (IV.A.2) ---- */

typedef struct dataset {
    bool has_space, has_type, has_layout, has_filters;
    int rank;
    int64_t shape[IO_MAX_DIMS]; /* the last is the fastest: MATLAB's from behind */
    char kind;
    int itemsize;
    size_t size;
    unsigned layout;
    const unsigned char *data; /* of a compact one */
    uint64_t address;          /* of the data or of the tree of chunks */
    uint64_t stored;
    int chunk_rank; /* with one more for the bytes of an element */
    int64_t chunk[IO_MAX_DIMS + 1];
    int filters[MOST_FILTERS], filter_count;
} dataset;

static problem read_space(dataset *d, const message *m)
{
    size_t begin = m->size < 4 || m->at[0] < 1 || m->at[0] > 2 ? 0 : m->at[0] == 1 ? 8 : 4;
    d->rank = begin ? m->at[1] : 0;
    if (!begin || d->rank > IO_MAX_DIMS || m->size < begin + OFFSET * (size_t)d->rank ||
        (begin == 4 && m->at[3] > 1))
        return "has dimensions that are not understood" AGAIN;
    for (int i = 0; i < d->rank; i++)
        d->shape[i] = (int64_t)io_little(m->at + begin + OFFSET * i, OFFSET);
    return NULL;
}

static problem read_type(dataset *d, const message *m)
{
    /* bits of the class, size, and the places of sign, exponent and mantissa */
    static const unsigned char single[] = { 0x20, 31, 0, 4, 0,  0,   0, 0, 0, 32,
                                            0,    23, 8, 0, 23, 127, 0, 0, 0 };
    static const unsigned char wide[] = { 0x20, 63, 0,  8, 0,  0,    0, 0, 0, 64,
                                          0,    52, 11, 0, 52, 0xff, 3, 0, 0 };
    size_t bytes = m->size < 12 ? 0 : io_little(m->at + 4, 4);
    unsigned class = bytes ? m->at[0] & 15 : 15;
    d->itemsize = bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8 ? (int)bytes : 0;
    if (class == 0 && !(m->at[1] & 1) && d->itemsize && !io_little(m->at + 8, 2) &&
        io_little(m->at + 10, 2) == 8 * bytes)
        d->kind = m->at[1] & 8 ? 'i' : 'u';
    else if (class == 1 && m->size >= 1 + sizeof single &&
             (!memcmp(m->at + 1, single, sizeof single) || !memcmp(m->at + 1, wide, sizeof wide)))
        d->kind = 'f';
    else
        return class == 6 ? "is complex, expected an array of real numbers"
                          : "holds something other than little-endian numbers";
    return NULL;
}

static problem read_layout(dataset *d, const message *m)
{
    if (m->size < 4 || m->at[0] != 3)
        return "is laid out in another way than MATLAB's" AGAIN;
    d->layout = m->at[1];
    if (d->layout == COMPACT) {
        d->stored = io_little(m->at + 2, 2);
        d->data = m->at + 4;
        return d->stored > m->size - 4 ? cut : NULL;
    }
    if (d->layout == CONTIGUOUS && m->size >= 18) {
        d->address = io_little(m->at + 2, OFFSET);
        d->stored = io_little(m->at + 10, OFFSET);
        return NULL;
    }
    d->chunk_rank = m->at[2];
    if (d->layout != CHUNKED || d->chunk_rank < 2 || d->chunk_rank > IO_MAX_DIMS + 1 ||
        m->size < 11 + 4 * (size_t)d->chunk_rank)
        return "is laid out in a way that is not understood" AGAIN;
    d->address = io_little(m->at + 3, OFFSET);
    for (int i = 0; i < d->chunk_rank; i++)
        d->chunk[i] = (int64_t)io_little(m->at + 11 + 4 * i, 4);
    return NULL;
}

static problem read_filters(dataset *d, const message *m)
{
    static const char unknown[] = "is packed by something other than shuffle and deflate" AGAIN;
    unsigned version = m->size < 8 ? 0 : m->at[0], count = version ? m->at[1] : 0;
    size_t at = version == 1 ? 8 : 2;
    if (version < 1 || version > 2 || count > MOST_FILTERS)
        return unknown;
    for (unsigned i = 0; i < count; i++) {
        size_t fixed = version == 1 ? 8 : 6; /* the names of these filters are left out by 2 */
        if (m->size < at + fixed)
            return cut;
        unsigned filter = (unsigned)io_little(m->at + at, 2);
        size_t name = version == 1 ? io_little(m->at + at + 2, 2) : 0;
        size_t values = io_little(m->at + at + fixed - 2, 2);
        if (filter != DEFLATE && filter != SHUFFLE)
            return unknown;
        d->filters[d->filter_count++] = (int)filter;
        at += fixed + (name + 7) / 8 * 8 + 4 * (version == 1 ? (values + 1) / 2 * 2 : values);
    }
    return NULL;
}

/* MATLAB_class tells text from numbers, MATLAB_empty the dimensions of nothing from numbers. */
static problem read_attribute(const message *m)
{
    static const char class_name[] = "MATLAB_class", empty_name[] = "MATLAB_empty";
    static const char numeric[] =
        " double single int8 uint8 int16 uint16 int32 uint32 int64 uint64 logical ";
    if (m->size < 8 || m->at[0] < 1 || m->at[0] > 3)
        return NULL;
    bool padded = m->at[0] == 1;
    size_t begin = m->at[0] == 3 ? 9 : 8, sizes[3], place = begin;
    for (int i = 0; i < 3; i++) {
        sizes[i] = io_little(m->at + 2 + 2 * i, 2);
        place += padded ? (sizes[i] + 7) / 8 * 8 : sizes[i];
    }
    char word[16] = " ";
    size_t left = place < m->size ? m->size - place : 0;
    const unsigned char *name = m->at + begin, *value = m->at + place;
    if (!left || sizes[0] < sizeof class_name)
        return NULL;
    if (!memcmp(name, empty_name, sizeof empty_name))
        return value[0] ? "is empty" : NULL;
    if (memcmp(name, class_name, sizeof class_name))
        return NULL;
    size_t length = strnlen((const char *)value, left < 10 ? left : 10);
    memcpy(word + 1, value, length);
    word[length + 1] = ' ';
    return strstr(numeric, word) ? NULL : "is text or the like, expected an array of numbers";
}

static problem read_message(dataset *d, const message *m)
{
    bool *has = m->type == SPACE     ? &d->has_space
                : m->type == TYPE    ? &d->has_type
                : m->type == LAYOUT  ? &d->has_layout
                : m->type == FILTERS ? &d->has_filters
                                     : NULL;
    if (has && *has)
        return "says twice what it is" AGAIN;
    if (has)
        *has = true;
    return m->type == SPACE       ? read_space(d, m)
           : m->type == TYPE      ? read_type(d, m)
           : m->type == LAYOUT    ? read_layout(d, m)
           : m->type == FILTERS   ? read_filters(d, m)
           : m->type == ATTRIBUTE ? read_attribute(m)
           : m->type == TABLE     ? "is a struct or a sparse matrix, expected a full array"
                                  : NULL;
}

static problem read_dataset(dataset *d, const hdf *h, const unsigned char *header)
{
    messages s;
    message m;
    problem wrong = open_messages(&s, h, header);
    for (m.type = SPACE; !wrong && m.type;) {
        wrong = next_message(&s, &m);
        wrong = wrong ? wrong : read_message(d, &m);
    }
    if (!wrong && (!d->has_space || !d->has_type || !d->has_layout))
        wrong = "is no array" AGAIN;
    if (!wrong && !io_shape_bytes(d->shape, d->rank, (size_t)d->itemsize, &d->size))
        wrong = "has dimensions beyond all bounds";
    if (!wrong && (d->size > IO_MAT_LIMIT || d->size / IO_DEFLATE_LIMIT > h->size))
        wrong = "claims more bytes than the file can hold";
    return wrong;
}

/* ---- its numbers (III.A.1, IV.A.2.l) ---- */

typedef struct chunks {
    const dataset *d;
    const hdf *h;
    unsigned char *out;              /* d->size bytes */
    unsigned char *unpacked, *plain; /* of one chunk: after deflate, after shuffle */
    size_t chunk_size;
    bool *seen;
    size_t count, left;
} chunks;

/* The first bytes of all elements, then the second ones ... -> elements. */
static void unshuffle(const chunks *c, const unsigned char *in)
{
    size_t item = (size_t)c->d->itemsize, elements = c->chunk_size / item;
    for (size_t b = 0; b < item; b++)
        for (size_t i = 0; i < elements; i++)
            c->plain[i * item + b] = in[b * elements + i];
}

/* The bytes of a chunk out of `size` stored ones; filters in `skipped` (bits) were not applied. */
static const unsigned char *undo_filters(const chunks *c, const unsigned char *bytes, size_t size,
                                         uint64_t skipped)
{
    for (int f = c->d->filter_count - 1; bytes && f >= 0; f--) {
        uLongf got = c->chunk_size;
        if (skipped >> f & 1)
            continue;
        if (c->d->filters[f] == SHUFFLE && size == c->chunk_size && bytes != c->plain) {
            unshuffle(c, bytes);
            bytes = c->plain;
        } else if (c->d->filters[f] == DEFLATE && bytes != c->unpacked && bytes != c->plain &&
                   uncompress(c->unpacked, &got, bytes, size) == Z_OK) {
            bytes = c->unpacked;
            size = got;
        } else {
            bytes = NULL;
        }
    }
    return size == c->chunk_size ? bytes : NULL;
}

/* What of the chunk lies inside of the array, row by row. */
static void place_chunk(const chunks *c, const unsigned char *bytes, const int64_t *offset)
{
    const dataset *d = c->d;
    size_t item = (size_t)d->itemsize;
    int last = d->rank - 1;
    int64_t index[IO_MAX_DIMS] = { 0 }, extent[IO_MAX_DIMS];
    for (int i = 0; i <= last; i++) {
        int64_t left = d->shape[i] - offset[i];
        extent[i] = left < d->chunk[i] ? left : d->chunk[i];
    }
    for (int i = 0; i >= 0;) {
        size_t from = 0, to = 0;
        for (int k = 0; k <= last; k++) {
            from = from * (size_t)d->chunk[k] + (size_t)index[k];
            to = to * (size_t)d->shape[k] + (size_t)(offset[k] + index[k]);
        }
        memcpy(c->out + to * item, bytes + from * item, (size_t)extent[last] * item);
        for (i = last - 1; i >= 0 && ++index[i] == extent[i]; i--)
            index[i] = 0;
    }
}

static problem take_chunk(void *context, const unsigned char *key, uint64_t child)
{
    chunks *c = context;
    const dataset *d = c->d;
    size_t size = io_little(key, 4), number = 0;
    int64_t offset[IO_MAX_DIMS];
    for (int i = 0; i < d->rank; i++) {
        offset[i] = (int64_t)io_little(key + 8 + OFFSET * i, OFFSET);
        if (offset[i] < 0 || offset[i] >= d->shape[i] || offset[i] % d->chunk[i])
            return "has a chunk where none can be" AGAIN;
        size_t across = (size_t)((d->shape[i] - 1) / d->chunk[i] + 1);
        number = number * across + (size_t)(offset[i] / d->chunk[i]);
    }
    const unsigned char *bytes = find(c->h, child, size);
    if (!bytes)
        return cut;
    if (c->seen[number])
        return "has a chunk twice" AGAIN;
    c->seen[number] = true;
    c->left--;
    bytes = undo_filters(c, bytes, size, io_little(key + 4, 4));
    if (!bytes)
        return "has a chunk that does not unpack to its size" AGAIN;
    place_chunk(c, bytes, offset);
    return NULL;
}

static problem check_chunks(chunks *c)
{
    const dataset *d = c->d;
    bool fits = d->chunk_rank == d->rank + 1 && d->chunk[d->rank] == d->itemsize;
    for (int i = 0; fits && i < d->rank; i++)
        fits = d->chunk[i] > 0;
    if (!fits || !io_shape_bytes(d->chunk, d->chunk_rank, 1, &c->chunk_size))
        return "has chunks of another kind than its own" AGAIN;
    if (c->chunk_size > IO_MAT_LIMIT || c->chunk_size / IO_DEFLATE_LIMIT > c->h->size)
        return "has chunks of more bytes than the file can hold";
    c->count = d->size ? 1 : 0;
    for (int i = 0; i < d->rank; i++)
        c->count *= d->size ? (size_t)((d->shape[i] - 1) / d->chunk[i] + 1) : 0;
    if (c->count > IO_DEFLATE_LIMIT * c->h->size / c->chunk_size)
        return "has chunks of more bytes than the file can hold";
    c->left = c->count;
    return NULL;
}

static problem read_chunks(const dataset *d, hdf *h, unsigned char *out, bool *memory)
{
    chunks c = { .d = d, .h = h, .out = out };
    problem wrong = check_chunks(&c);
    if (wrong || !c.count)
        return wrong;
    c.unpacked = hds_alloc(c.chunk_size, 1);
    c.plain = hds_alloc(c.chunk_size, 1);
    c.seen = hds_alloc(c.count, sizeof *c.seen);
    *memory = c.unpacked && c.plain && c.seen;
    const tree t = { h, OF_CHUNKS, 8 + OFFSET * (size_t)d->chunk_rank, take_chunk, &c };
    wrong = *memory ? walk(&t, d->address, -1) : NULL;
    if (!wrong && *memory && c.left)
        wrong = "lacks some of its chunks" AGAIN;
    hds_free(c.unpacked);
    hds_free(c.plain);
    hds_free(c.seen);
    return wrong;
}

hds_status io_mat_read_hdf(io_array *array, const io_mat *mat, const io_mat_variable *v,
                           const char *where, hds_error *error)
{
    hdf h = open_hdf(mat);
    dataset d = { 0 };
    bool memory = true;
    problem wrong = read_dataset(&d, &h, v->at);
    const unsigned char *data = d.data;
    if (!wrong && d.layout == CONTIGUOUS && !(data = find(&h, d.size ? d.address : 0, d.stored)))
        wrong = cut;
    if (!wrong && d.layout != CHUNKED && (d.stored != d.size || d.filter_count))
        wrong = "holds another number of bytes than its dimensions promise";
    unsigned char *out = wrong ? NULL : hds_alloc(d.size, 1);
    memory = wrong || out;
    if (out && d.layout == CHUNKED)
        wrong = read_chunks(&d, &h, out, &memory);
    else if (out && d.size)
        memcpy(out, data, d.size);
    if (!wrong && memory) {
        array->kind = d.kind;
        array->itemsize = d.itemsize;
        array->dims = d.rank;
        for (int i = 0; i < d.rank; i++)
            array->shape[i] = d.shape[d.rank - 1 - i];
        array->data = out;
        array->size = d.size;
        return HDS_OK;
    }
    hds_free(out);
    return memory ? hds_raise(error, HDS_ERROR_FORMAT, "%s: %s", where, wrong)
                  : hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory for %zu bytes", where,
                              d.size);
}
