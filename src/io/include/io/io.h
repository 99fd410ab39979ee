/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes in and out. Files are data: a bad one gives a status and a message with its path, the
 * place and what was expected. Outputs are written beside and renamed into place. */
#ifndef HDS_IO_H
#define HDS_IO_H

#include "base/base.h"

#include <jansson.h>
#include <sys/uio.h>

/* ---- file.c ---- */
/* A whole file, mapped read-only. */
typedef struct io_map {
    const unsigned char *bytes;
    size_t size;
    uint64_t stamp; /* of the file: io_stamp */
} io_map;
HDS_NODISCARD hds_status io_map_open(io_map *map, const char *path, hds_error *error);
void io_map_close(io_map *map);
/* Tells a file from every other, and from what it is after it was written to: a hash of device,
 * inode, size and time of change. Of a folder: of the files in it and one level below too. 0: there
 * is none. */
uint64_t io_stamp(const char *path);

/* Replaces `path` with `bytes`: written to a temporary file beside it, flushed, renamed. */
HDS_NODISCARD hds_status io_write_atomic(const char *path, const void *bytes, size_t size,
                                         hds_error *error);
/* The same of several pieces in a row. */
HDS_NODISCARD hds_status io_write_pieces(const char *path, const struct iovec *pieces, size_t count,
                                         hds_error *error);
/* A path to write to in the folder of `path`, and the rename that makes it real (or the removal):
 * for writers that insist on a file name of their own. */
HDS_NODISCARD hds_status io_temporary_path(char **temporary /* new */, const char *path,
                                           hds_error *error);
HDS_NODISCARD hds_status io_commit_temporary(const char *temporary, const char *path,
                                             hds_error *error);
char *io_join(const char *folder, const char *name); /* new, NULL: out of memory */
bool io_is_folder(const char *path);
bool io_exists(const char *path);
HDS_NODISCARD hds_status io_make_folders(const char *path, hds_error *error);
/* Where the built-in sample head and prior lie: in $HEADSDS_DATA; else in headsds_data (the add-on,
 * the build) or share/headsds (a prefix, wherever it was moved to) of the nearest folder above the
 * shared object or program that holds this code; else where meson install puts them. */
HDS_NODISCARD hds_status io_data_path(char **path /* new */, const char *name, hds_error *error);

bool io_ends_with(const char *text, const char *ending); /* whatever its case */

/* ---- files.c ---- */

/* Files that belong together: all are written beside their places before the first is renamed. */
enum { IO_MAX_FILES = 4 };
typedef struct io_files {
    size_t count;
    char *paths[IO_MAX_FILES], *temporaries[IO_MAX_FILES];
} io_files;
HDS_NODISCARD hds_status io_files_add(io_files *files, const char *path, const void *bytes,
                                      size_t size, hds_error *error);
/* Renames in the order of adding. */
HDS_NODISCARD hds_status io_files_commit(io_files *files, hds_error *error);
void io_files_finish(io_files *files); /* removes what was not committed */

/* The path with its ending replaced: "a/b.gltf", ".bin" -> "a/b.bin". NULL: out of memory. */
char *io_with_ending(const char *path, const char *ending); /* new */
const char *io_base_name(const char *path);                 /* borrowed from path */

/* ---- kind.c ---- */
/* What a file is by its first bytes, whatever its name says. */
typedef enum io_format {
    IO_FORMAT_OTHER,
    IO_FORMAT_ZIP, /* of nothing that is known */
    IO_FORMAT_NPZ, /* also .headsds */
    IO_FORMAT_TORCH,
    IO_FORMAT_SAFETENSORS,
    IO_FORMAT_PICKLE, /* of protocol 2 or later: older ones have no signature */
    IO_FORMAT_MAT,    /* of version 5 or 7.3 */
    IO_FORMAT_PNG,
    IO_FORMAT_JSON,
    IO_FORMAT_OBJ
} io_format;
typedef struct io_kind {
    const char *name; /* "a glTF file"; NULL: not known */
    const char *cure; /* what to do about it, whichever file was wanted, or NULL */
    io_format format;
} io_kind;
io_kind io_kind_of(const void *bytes, size_t size);
io_kind io_path_kind(const char *path); /* not known, too, of what cannot be read */
/* Do all its lines end in CR LF, more of them than chance puts into a binary file? */
bool io_is_text_damaged(const void *bytes, size_t size);
/* Raises what the file is instead of `expected` ("an .npz file"): "h.glb: is a glTF file; expected
 * an .npz file". Names archives that are cut short, and says what to do where that is known. */
HDS_NODISCARD hds_status io_raise_kind(hds_error *error, const char *path, const void *bytes,
                                       size_t size, const char *expected);

/* The same of a file that is not open. */
HDS_NODISCARD hds_status io_raise_path_kind(hds_error *error, const char *path,
                                            const char *expected);
/* Raises so unless the file is a whole zip archive. */
HDS_NODISCARD hds_status io_check_archive(const char *path, const char *expected, hds_error *error);

/* ---- json.c ---- */
/* Jansson does the parsing; these name the file and the line. Release with json_decref. Read, too,
 * is what Python's json writes beyond the standard: Infinity, -Infinity and numbers beyond a double
 * are +-DBL_MAX, NaN is "NaN", integers beyond 64 bits are reals. A mark of byte order is skipped.
 */
json_t *io_json_parse(const char *text, size_t size, json_error_t *place); /* new, or NULL */
HDS_NODISCARD hds_status io_json_load(json_t **json, const char *path, hds_error *error);
HDS_NODISCARD hds_status io_json_save(const json_t *json, const char *path, hds_error *error);

/* ---- safetensors.c ---- */
typedef enum io_dtype {
    IO_F16,
    IO_BF16,
    IO_F32,
    IO_F64,
    IO_I8,
    IO_U8,
    IO_I16,
    IO_U16,
    IO_I32,
    IO_U32,
    IO_I64,
    IO_U64,
    IO_BOOL,
    IO_F8_E4M3, /* no infinities, 448 at most; torch's float8_e4m3fn */
    IO_F8_E5M2  /* the upper half of an IEEE half */
} io_dtype;
size_t io_dtype_size(io_dtype dtype);
const char *io_dtype_name(io_dtype dtype); /* "F16", ... */

enum { IO_MAX_DIMS = 8 };
typedef struct io_tensor {
    const char *name; /* owned by the file */
    io_dtype dtype;
    int dims;
    int64_t shape[IO_MAX_DIMS];
    const void *data; /* into the map; may be unaligned */
    size_t size;      /* bytes */
} io_tensor;
typedef struct io_safetensors {
    io_map map;
    io_tensor *tensors; /* sorted by name */
    size_t count;
    json_t *metadata; /* __metadata__ or NULL */
} io_safetensors;
/* Refuses: a header longer than the file or than 100 MB, offsets out of range, overlapping or with
 * holes, a size that is not shape times dtype, a name twice. */
HDS_NODISCARD hds_status io_safetensors_open(io_safetensors *file, const char *path,
                                             hds_error *error);
void io_safetensors_close(io_safetensors *file);
const io_tensor *io_safetensors_find(const io_safetensors *file, const char *name);
HDS_NODISCARD hds_status io_safetensors_write(const char *path, const io_tensor *tensors,
                                              size_t count, const json_t *metadata,
                                              hds_error *error);
/* Converts any real or integer dtype; `out` holds the tensor's number of elements. */
void io_to_f32(const void *data, io_dtype dtype, float *out, size_t count);
void io_f32_to_f16(const float *in, uint16_t *out, size_t count);  /* round to nearest even */
void io_f32_to_bf16(const float *in, uint16_t *out, size_t count); /* so too */

/* ---- npz.c (zip by libzip) ---- */
typedef struct io_array {
    char *name;
    char kind;    /* numpy's: 'f' 'i' 'u' 'b' 'S', and 'U', of which itemsize is in bytes too */
    int itemsize; /* bytes an element */
    int dims;
    int64_t shape[IO_MAX_DIMS];
    void *data;  /* C order, little-endian, 16-byte aligned */
    size_t size; /* bytes */
} io_array;
typedef struct io_npz {
    char *path;
    io_array *arrays; /* by name; data is NULL until read */
    size_t count;
    size_t left; /* bytes that what is read may still unpack to */
    io_map map;
    struct zip *zip;
} io_npz;
/* Lists the arrays without reading any, so that one that nobody needs may be whatever it is;
 * members that are no .npy are passed over. What is read may together claim `limit` bytes unpacked
 * at most (0: 2 GiB). Refuses archives without an array, and by name what is no archive. */
HDS_NODISCARD hds_status io_npz_list(io_npz *npz, const char *path, size_t limit, hds_error *error);
/* Reads one that is listed, unless it was read before; without one of that name does nothing.
 * Refuses big-endian and object arrays, and sizes that disagree with the header. */
HDS_NODISCARD hds_status io_npz_read(io_npz *npz, const char *name, hds_error *error);
/* Both: all arrays are read. */
HDS_NODISCARD hds_status io_npz_open(io_npz *npz, const char *path, size_t limit, hds_error *error);
void io_npz_close(io_npz *npz);
bool io_npz_has(const io_npz *npz, const char *name);
/* An array that was read, or NULL. */
const io_array *io_npz_find(const io_npz *npz, const char *name);
/* An array to be written: name and data are borrowed, and left as they are. */
io_array io_array_of(const char *name, char kind, size_t itemsize, int dims, const size_t *shape,
                     const void *data);
HDS_NODISCARD hds_status io_npz_write(const char *path, const io_array *arrays, size_t count,
                                      hds_error *error);
/* Is it of a kind and size that io_number reads: 'f', 'i' or 'u'? */
bool io_is_numeric(const io_array *array);
double io_number(const io_array *array, size_t index); /* in the order of the data */

/* ---- mat.c, mat_hdf.c (zlib) ---- */
enum { IO_MAT_NAME = 64 }; /* MATLAB's names have 63 characters at most */
typedef struct io_mat_variable {
    char name[IO_MAT_NAME];
    const unsigned char *at; /* into the map */
    size_t size;
    bool packed;
} io_mat_variable;
typedef struct io_mat {
    char *path;
    io_map map;
    io_mat_variable *variables; /* in the order of the file */
    size_t count;
    bool hdf; /* of version 7.3 */
} io_mat;
/* Opens a MATLAB file of version 5 (save -v6, -v7) or 7.3 and lists its variables. Refuses files of
 * version 4, big-endian ones, HDF5 other than MATLAB's own, a name twice. */
HDS_NODISCARD hds_status io_mat_open(io_mat *mat, const char *path, hds_error *error);
void io_mat_close(io_mat *mat);
bool io_mat_has(const io_mat *mat, const char *name);
/* A full array of real numbers, of whatever type the file stores them as: array->data (new,
 * hds_free) in MATLAB's order, the first index fastest; name stays NULL. Refuses what is something
 * else, sizes that disagree with the dimensions, and by what it claims, before any memory is asked
 * for, what the bytes of the file can't unpack to or is more than 2 GiB. */
HDS_NODISCARD hds_status io_mat_read(io_array *array, const io_mat *mat, const char *name,
                                     hds_error *error);

/* ---- pickle.c, pickle_text.c, pickle_value.c, pickle_array.c ---- */
/* Python pickles of protocols 0 to 5, as a tree of values. Nothing is ever imported or called: a
 * class or function stays a name, what is made by it an object with its arguments and state. */
typedef enum io_value_kind {
    IO_VALUE_NONE,
    IO_VALUE_BOOL,
    IO_VALUE_INTEGER,
    IO_VALUE_BIG, /* an integer beyond int64_t: bytes as the file has them */
    IO_VALUE_REAL,
    IO_VALUE_BYTES,     /* also every str of Python 2 */
    IO_VALUE_TEXT,      /* UTF-8, not terminated */
    IO_VALUE_LIST,      /* also sets */
    IO_VALUE_TUPLE,     /* also frozen sets */
    IO_VALUE_DICT,      /* items are keys and values in turn; also OrderedDict and defaultdict */
    IO_VALUE_GLOBAL,    /* bytes: "module.name" */
    IO_VALUE_OBJECT,    /* callee(*arguments); items are what was appended or set in it */
    IO_VALUE_PERSISTENT /* arguments: the id */
} io_value_kind;
typedef struct io_value io_value;
struct io_value {
    io_value_kind kind;
    bool truth;
    size_t count; /* of bytes or items */
    size_t room;  /* of items */
    union {
        int64_t integer;
        double real;
        const char *bytes;
        io_value **items;
    };
    const io_value *callee;    /* objects: a global */
    const io_value *arguments; /* objects: a tuple */
    const io_value *state;     /* what __setstate__ would get, or NULL; also of a dict */
};
typedef struct io_pickle {
    const io_value *root;
    const io_value *persistent; /* a list of all persistent ids, in the order of the file */
    size_t used;                /* bytes up to and with the end mark */
    arena memory;
    io_map map;
} io_pickle;
/* Reads the pickle at the beginning of `bytes`, which the values point into. `globals` (NULL ends
 * it, NULL: none) are the "module.name"s that it may ask for besides those that the reader knows:
 * NumPy's arrays, scalars and dtypes, Python's containers, _codecs.encode, copyreg's constructors.
 * Names are Python 3's and NumPy 1's: __builtin__, copy_reg and numpy._core are read as builtins,
 * copyreg and numpy.core. `where` begins every message. Refuses by name and offset: other globals,
 * extension codes, buffers outside of the pickle, whatever is malformed, and pickles that unfold to
 * more than 64 MB and 64 times their size. The values may hold one value often, and themselves: who
 * walks them sets a limit. */
HDS_NODISCARD hds_status io_pickle_parse(io_pickle *pickle, const void *bytes, size_t size,
                                         const char *const *globals, const char *where,
                                         hds_error *error);
/* The same of a file; what lies after the end mark is not read. */
HDS_NODISCARD hds_status io_pickle_open(io_pickle *pickle, const char *path,
                                        const char *const *globals, hds_error *error);
void io_pickle_close(io_pickle *pickle);
/* The value of `key` in a dict or in an object's state, or NULL; the last one set wins. */
const io_value *io_value_get(const io_value *value, const char *key);
bool io_value_is(const io_value *value, const char *text);     /* text, bytes or global `text` */
bool io_value_is_of(const io_value *value, const char *name);  /* an object made by global `name` */
bool io_value_integer(const io_value *value, int64_t *number); /* false: it is none */
/* A NumPy array or scalar: copied in C order to array->data (new, hds_free); name stays NULL.
 * Refuses what npz refuses, by `where`. */
HDS_NODISCARD hds_status io_value_array(io_array *array, const io_value *value, const char *where,
                                        hds_error *error);

/* ---- tensors.c, checkpoint.c, checkpoint_zip.c, checkpoint_legacy.c ---- */
/* Named tensors in a file of either kind. */
typedef struct io_tensors {
    io_map map;
    io_tensor *tensors; /* sorted by name */
    size_t count;
    json_t *metadata; /* safetensors' __metadata__ or NULL */
    void **copies;    /* of tensors that do not lie in the file in C order */
    size_t copy_count;
} io_tensors;
/* Opens a safetensors file or a torch checkpoint (.ckpt .bin .pth .pt), whatever its name says. Of
 * a checkpoint, the tensors of the dict at the top are taken, or of the dict "state_dict" in it, or as
 * "string_to_param.NAME" those of the dict of that name (a textual inversion);
 * whatever else lies beside them (optimisers, counters, callbacks) is left alone, but may only be
 * made of what a pickle may hold anyway, torch's sizes, devices, parameters and dtypes, Lightning's
 * ModelCheckpoint, EarlyStopping and AttributeDict, argparse's namespaces and pathlib's paths.
 * Refuses besides what io_pickle_parse refuses: TorchScript, packed or missing storages, tensors
 * that reach out of their storage or repeat its elements, big-endian files, a name twice. */
HDS_NODISCARD hds_status io_tensors_open(io_tensors *file, const char *path, hds_error *error);
void io_tensors_close(io_tensors *file);
const io_tensor *io_tensors_find(const io_tensors *file, const char *name);

/* ---- png.c (libpng) ---- */
/* 8-bit pictures, channels 1, 3 or 4, rows from the top. *pixels is new. */
HDS_NODISCARD hds_status io_png_read(const char *path, int channels, uint8_t **pixels, int *width,
                                     int *height, hds_error *error);
HDS_NODISCARD hds_status io_png_write(const char *path, const uint8_t *pixels, int width,
                                      int height, int channels, hds_error *error);
/* The same into memory (for textures inside a .glb). *bytes is new. */
HDS_NODISCARD hds_status io_png_encode(const uint8_t *pixels, int width, int height, int channels,
                                       void **bytes, size_t *size, hds_error *error);

#endif
