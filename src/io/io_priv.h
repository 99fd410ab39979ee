/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share: errors of the system, writing in pieces, .npy headers, the
 * making of pickled values, members of archives. */
#ifndef HDS_IO_PRIV_H
#define HDS_IO_PRIV_H

#include "io/io.h"

/* Reports errno value `code`, met while `doing` ("open", "write") something to `path`. */
HDS_NODISCARD hds_status io_raise_errno(hds_error *error, const char *path, const char *doing,
                                        int code);
/* Its first half: the file beside `path`, which io_commit_temporary renames. */
HDS_NODISCARD hds_status io_write_beside(char **temporary /* new */, const char *path,
                                         const struct iovec *pieces, size_t count,
                                         hds_error *error);
/* Product of shape and itemsize, or false when it overflows or a dimension is negative. */
bool io_shape_bytes(const int64_t *shape, int dims, size_t itemsize, size_t *bytes);

/* One .npy member: bytes -> array (name is left alone; data is new). `where` is "path: member". */
HDS_NODISCARD hds_status io_npy_parse(io_array *array, const unsigned char *bytes, size_t size,
                                      const char *where, hds_error *error);
/* The header of a version 1.0 .npy file; returns its length, a multiple of 64, or 0: no room or
 * an array that the format has no word for. */
size_t io_npy_header(const io_array *array, char *text, size_t room);
/* '<f4' -> kind 'f', itemsize 4; refuses what io_npz_open refuses. */
HDS_NODISCARD hds_status io_npy_dtype(io_array *array, const char *descr, const char *where,
                                      hds_error *error);
/* Fills array->data (new) with array->size bytes of elements that lie at `in`, where the first
 * index is the fastest if `fortran`. */
hds_status io_npy_fill(io_array *array, bool fortran, const void *in, const char *where,
                       hds_error *error);

/* Deflate packs 1032 to 1 at best: what claims more is a lie or a bomb. */
enum { IO_DEFLATE_LIMIT = 1032 };

/* A little-endian number of up to 8 bytes. */
static inline uint64_t io_little(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    while (bytes-- > 0)
        value = value << 8 | at[bytes];
    return value;
}

/* ---- mat.c, mat_hdf.c ---- */
enum { IO_MAT_MOST = 1024 };                        /* variables of a file */
static const size_t IO_MAT_LIMIT = (size_t)2 << 30; /* bytes of one */
HDS_NODISCARD hds_status io_mat_add(io_mat *mat, const char *name, const unsigned char *at,
                                    size_t size, hds_error *error);
HDS_NODISCARD hds_status io_mat_list_hdf(io_mat *mat, hds_error *error);
HDS_NODISCARD hds_status io_mat_read_hdf(io_array *array, const io_mat *mat,
                                         const io_mat_variable *variable, const char *where,
                                         hds_error *error);

/* Up to 60 bytes of what a file says, as printable ASCII. */
typedef struct io_printable {
    char text[64];
} io_printable;
io_printable io_print(const void *bytes, size_t size);

/* What makes the values of one pickle, and where it is in the file. */
typedef struct io_maker {
    arena *memory;
    size_t left; /* bytes that its values may still take */
    const char *const *globals;
    const char *where;
    size_t place;       /* offset of the opcode */
    const char *opcode; /* its name */
    hds_error *error;
} io_maker;
/* Raises "where: byte N: OPCODE ..." */
hds_status io_refuse(const io_maker *m, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
HDS_NODISCARD hds_status io_make(io_maker *m, io_value_kind kind, io_value **value);
HDS_NODISCARD hds_status io_make_bytes(io_maker *m, io_value_kind kind, const void *bytes,
                                       size_t count, io_value **value);
/* Zeroed memory out of what is left. */
HDS_NODISCARD hds_status io_make_room(io_maker *m, size_t count, size_t size, void **memory);
HDS_NODISCARD hds_status io_make_global(io_maker *m, const char *module, size_t module_size,
                                        const char *name, size_t name_size, io_value **value);
HDS_NODISCARD hds_status io_append(io_maker *m, io_value *to, io_value *const *items, size_t count);
/* What callee(*arguments) is: a value for the containers and codecs that are known, else an
 * object. */
HDS_NODISCARD hds_status io_call(io_maker *m, const io_value *callee, const io_value *arguments,
                                 io_value **value);
/* The value that a line of protocol 0 spells after opcode I, L, F, S or V. */
HDS_NODISCARD hds_status io_make_from_line(io_maker *m, unsigned char code,
                                           const unsigned char *line, size_t size,
                                           io_value **value);
/* Reads one code point; false: not UTF-8. */
bool io_utf8_next(const unsigned char **at, const unsigned char *end, uint32_t *code);

/* ---- pickle.c ---- */
/* The argument of an opcode: a number, or a stretch of the file. */
typedef struct io_operand {
    uint64_t number;
    const unsigned char *bytes;
    size_t size;
} io_operand;

/* The machine that runs a pickle; see pickle.c. */
typedef struct io_machine {
    io_maker make;
    const unsigned char *bytes;
    size_t size, at;
    unsigned char code; /* of the running opcode */
    io_value **stack;
    size_t height, stack_room;
    size_t *marks;
    size_t mark_count, mark_room;
    io_value **memo;
    size_t memo_count, memo_room;
    io_value *persistent;
    bool stopped;
} io_machine;
HDS_NODISCARD hds_status io_machine_push(io_machine *m, io_value *value);
/* Takes the `count` uppermost values off, all of them above the last mark: *items stay where they
 * are until the next push. */
HDS_NODISCARD hds_status io_machine_pop(io_machine *m, size_t count, io_value ***items);
/* Takes off what is above the last mark, `least` values or more, and the mark. */
HDS_NODISCARD hds_status io_machine_pop_mark(io_machine *m, size_t least, io_value ***items,
                                             size_t *count);
HDS_NODISCARD hds_status io_machine_take_line(io_machine *m, io_operand *x);

/* ---- pickle_ops.c: what opcodes do, by m->code ---- */
typedef hds_status io_op(io_machine *m, const io_operand *x);
io_op io_op_none;
io_op io_op_bool;
io_op io_op_integer;
io_op io_op_long;
io_op io_op_real;
io_op io_op_line;
io_op io_op_bytes;
io_op io_op_text;
io_op io_op_empty;
io_op io_op_tuple;
io_op io_op_collect;
io_op io_op_add;
io_op io_op_add_many;
io_op io_op_global;
io_op io_op_stack_global;
io_op io_op_call;
io_op io_op_call_marked;
io_op io_op_build;
io_op io_op_persistent;

/* ---- archive.c: named stretches of a file ---- */
typedef struct io_member {
    const char *name; /* not terminated */
    size_t length;    /* of the name */
    const unsigned char *bytes;
    size_t size;
    int method; /* of packing, 0: none */
} io_member;
typedef struct io_archive {
    io_member *members; /* sorted by name */
    size_t count;
} io_archive;
/* The members of a zip archive in `map`, found in place and not unpacked; checksums are not
 * compared (torch may leave them out). */
HDS_NODISCARD hds_status io_archive_open(io_archive *archive, const io_map *map, const char *path,
                                         hds_error *error);
/* Has a zip archive the record that it ends with? Without one it is cut short. */
bool io_archive_has_end(const void *bytes, size_t size);
void io_archive_close(io_archive *archive);
void io_archive_sort(io_archive *archive);
const io_member *io_archive_find(const io_archive *archive, const char *name, size_t length);

/* ---- checkpoint.c, checkpoint_zip.c, checkpoint_legacy.c ---- */
/* What a checkpoint may ask for: torch's tensors, storages and dtypes, and of what lies beside them
 * Lightning's commonest callbacks and dicts, paths and argparse's namespaces. */
extern const char *const io_checkpoint_globals[];
/* Both fill file->tensors, in no order, from file->map; on failure they leave it to the caller. */
HDS_NODISCARD hds_status io_checkpoint_read_zip(io_tensors *file, const char *path,
                                                hds_error *error);
HDS_NODISCARD hds_status io_checkpoint_read_legacy(io_tensors *file, const char *path,
                                                   hds_error *error);
bool io_checkpoint_is_legacy(const io_map *map);
/* The dtype that a class of storages or a dtype of torch stands for; false: none that is read. */
bool io_checkpoint_dtype(const io_value *type, io_dtype *dtype);
/* The tensors of what `root` holds, whose storages are named by their keys. */
HDS_NODISCARD hds_status io_checkpoint_tensors(io_tensors *file, const io_value *root,
                                               const io_archive *storages, const char *path,
                                               hds_error *error);

#endif
