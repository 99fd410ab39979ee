/* SPDX-License-Identifier: Apache-2.0 */
/* The tensors of a torch checkpoint, from its unpickled state dict and its storages, which
 * checkpoint_zip.c and checkpoint_legacy.c find.
 *
 * A tensor is _rebuild_tensor_v2(storage, offset, size, stride, ...), all counted in elements; its
 * storage the persistent id ('storage', class, key, device, number of elements). Tensors in C order
 * are left where they lie, others copied. */
#include "io_priv.h"

#include <stdio.h>
#include <string.h>

enum { COPY_SHARE = 4, WHERE_ROOM = 512, LONGEST_NAME = 1000 };

const char *const io_checkpoint_globals[] = {
    "argparse.Namespace",
    "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
    "lightning_fabric.utilities.data.AttributeDict",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "torch.BFloat16Storage",
    "torch.BoolStorage",
    "torch.ByteStorage",
    "torch.CharStorage",
    "torch.DoubleStorage",
    "torch.FloatStorage",
    "torch.HalfStorage",
    "torch.IntStorage",
    "torch.LongStorage",
    "torch.ShortStorage",
    "torch.Size",
    "torch.UntypedStorage",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch.bfloat16",
    "torch.bool",
    "torch.device",
    "torch.float16",
    "torch.float32",
    "torch.float64",
    "torch.float8_e4m3fn",
    "torch.float8_e5m2",
    "torch.int16",
    "torch.int32",
    "torch.int64",
    "torch.int8",
    "torch.nn.modules.container.ParameterDict",
    "torch.nn.parameter.Parameter",
    "torch.storage.UntypedStorage",
    "torch.uint16",
    "torch.uint32",
    "torch.uint64",
    "torch.uint8",
    NULL,
};

static const struct {
    const char *name;
    io_dtype dtype;
} types[] = {
    { "torch.FloatStorage", IO_F32 },
    { "torch.HalfStorage", IO_F16 },
    { "torch.BFloat16Storage", IO_BF16 },
    { "torch.DoubleStorage", IO_F64 },
    { "torch.LongStorage", IO_I64 },
    { "torch.IntStorage", IO_I32 },
    { "torch.ShortStorage", IO_I16 },
    { "torch.CharStorage", IO_I8 },
    { "torch.ByteStorage", IO_U8 },
    { "torch.BoolStorage", IO_BOOL },
    { "torch.UntypedStorage", IO_U8 },
    { "torch.storage.UntypedStorage", IO_U8 },
    { "torch.float32", IO_F32 },
    { "torch.float16", IO_F16 },
    { "torch.bfloat16", IO_BF16 },
    { "torch.float64", IO_F64 },
    { "torch.float8_e4m3fn", IO_F8_E4M3 },
    { "torch.float8_e5m2", IO_F8_E5M2 },
    { "torch.int64", IO_I64 },
    { "torch.int32", IO_I32 },
    { "torch.int16", IO_I16 },
    { "torch.int8", IO_I8 },
    { "torch.uint8", IO_U8 },
    { "torch.uint16", IO_U16 },
    { "torch.uint32", IO_U32 },
    { "torch.uint64", IO_U64 },
    { "torch.bool", IO_BOOL },
};

/* What the tensors of one file are read with. */
typedef struct reader {
    io_tensors *file;
    const io_archive *storages; /* by their keys */
    size_t copies_left;         /* bytes */
    const char *path;
    hds_error *error;
} reader;

bool io_checkpoint_dtype(const io_value *type, io_dtype *dtype)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (type && type->kind == IO_VALUE_GLOBAL && io_value_is(type, types[i].name)) {
            *dtype = types[i].dtype;
            return true;
        }
    return false;
}

/* The arguments of the tensor that `value` is, through any parameter around it; NULL: it is none.
 * Tensors are not nested, so parameters of parameters are looked into once only. */
static const io_value *tensor_arguments(const io_value *value)
{
    if (io_value_is_of(value, "torch._utils._rebuild_parameter"))
        value = value->arguments->count ? value->arguments->items[0] : NULL;
    if (io_value_is_of(value, "torch._utils._rebuild_tensor") ||
        io_value_is_of(value, "torch._utils._rebuild_tensor_v2") ||
        io_value_is_of(value, "torch._utils._rebuild_tensor_v3"))
        return value->arguments->count >= 4 ? value->arguments : NULL;
    return NULL;
}

/* The bytes of the storage that `value` names, and the dtype of its class. */
static hds_status find_storage(const reader *r, const io_value *value, const char *where,
                               const io_member **storage, io_dtype *dtype)
{
    const io_value *id = value->kind == IO_VALUE_PERSISTENT ? value->arguments : NULL;
    int64_t count;
    if (!id || id->kind != IO_VALUE_TUPLE || id->count < 5 || !io_value_is(id->items[0], "storage"))
        return hds_raise(r->error, HDS_ERROR_FORMAT,
                         "%s: expected a storage ('storage', class, key, device, length)", where);
    const io_value *key = id->items[2];
    if (!io_checkpoint_dtype(id->items[1], dtype))
        return hds_raise(r->error, HDS_ERROR_FORMAT, "%s: a storage of no class that is read",
                         where);
    if (key->kind != IO_VALUE_TEXT && key->kind != IO_VALUE_BYTES)
        return hds_raise(r->error, HDS_ERROR_FORMAT, "%s: a storage without a key", where);
    if (id->count > 5 && id->items[5]->kind != IO_VALUE_NONE)
        return hds_raise(r->error, HDS_ERROR_FORMAT,
                         "%s: a view into a storage, as torch before 0.4 wrote them; save it again "
                         "with torch 1.6 or later",
                         where);
    *storage = io_archive_find(r->storages, key->bytes, key->count);
    if (!*storage)
        return hds_raise(r->error, HDS_ERROR_FORMAT,
                         "%s: storage %s is not in the file; fetch it again", where,
                         io_print(key->bytes, key->count).text);
    if ((*storage)->method)
        return hds_raise(r->error, HDS_ERROR_FORMAT,
                         "%s: storage %s is packed, expected it as torch.save stores it", where,
                         io_print(key->bytes, key->count).text);
    if (!io_value_integer(id->items[4], &count) ||
        (uint64_t)count > (*storage)->size / io_dtype_size(*dtype))
        return hds_raise(r->error, HDS_ERROR_FORMAT,
                         "%s: storage %s has %zu bytes, fewer than its length says; it may be cut "
                         "short: fetch it again",
                         where, io_print(key->bytes, key->count).text, (*storage)->size);
    return HDS_OK;
}

static bool read_lengths(const io_value *tuple, int64_t *lengths, int *dims)
{
    if (io_value_is_of(tuple, "torch.Size"))
        tuple = tuple->arguments->count ? tuple->arguments->items[0] : tuple->arguments;
    if (tuple->kind != IO_VALUE_TUPLE || tuple->count > IO_MAX_DIMS)
        return false;
    *dims = (int)tuple->count;
    for (int d = 0; d < *dims; d++)
        if (!io_value_integer(tuple->items[d], &lengths[d]) || lengths[d] < 0)
            return false;
    return true;
}

/* Whether elements lie in C order; *last is the place of the last one, -1 if there is none. */
static bool in_order(const io_tensor *tensor, const int64_t *stride, int64_t *last, bool *fits)
{
    int64_t dense = 1;
    bool ordered = true;
    *last = 0;
    *fits = true;
    for (int d = 0; d < tensor->dims; d++)
        if (!tensor->shape[d]) {
            *last = -1;
            return true;
        }
    for (int d = tensor->dims; d-- > 0;) {
        int64_t reach = 0;
        ordered &= tensor->shape[d] == 1 || stride[d] == dense;
        *fits &= !__builtin_mul_overflow(tensor->shape[d] - 1, stride[d], &reach) &&
                 !__builtin_add_overflow(*last, reach, last) &&
                 !__builtin_mul_overflow(dense, tensor->shape[d], &dense);
    }
    return ordered;
}

/* out (C order) <- elements at `stride`. The place wraps around where a stride that is never gone
 * is large. */
static void copy_strided(const io_tensor *tensor, const int64_t *stride, const unsigned char *in,
                         unsigned char *out)
{
    size_t item = io_dtype_size(tensor->dtype), place = 0;
    int64_t index[IO_MAX_DIMS] = { 0 };
    for (size_t left = tensor->size / item; left-- > 0; out += item) {
        memcpy(out, in + place * item, item);
        for (int d = tensor->dims; d-- > 0;) {
            place += (size_t)stride[d];
            if (++index[d] < tensor->shape[d])
                break;
            place -= (size_t)index[d] * (size_t)stride[d];
            index[d] = 0;
        }
    }
}

static hds_status copy_tensor(reader *r, io_tensor *tensor, const int64_t *stride,
                              const char *where)
{
    if (tensor->size > r->copies_left)
        return hds_raise(r->error, HDS_ERROR_FORMAT,
                         "%s: too many tensors that are not in C order; save them .contiguous()",
                         where);
    unsigned char *copy = hds_alloc(tensor->size, 1);
    if (!copy)
        return hds_raise(r->error, HDS_ERROR_MEMORY, "%s: out of memory for %zu bytes", where,
                         tensor->size);
    r->copies_left -= tensor->size;
    r->file->copies[r->file->copy_count++] = copy;
    copy_strided(tensor, stride, tensor->data, copy);
    tensor->data = copy;
    return HDS_OK;
}

static hds_status read_tensor(reader *r, io_tensor *tensor, const io_value *arguments,
                              const char *where)
{
    const io_member *storage = NULL;
    int64_t offset, last, stride[IO_MAX_DIMS] = { 0 };
    int strides = 0;
    bool fits, ordered;
    hds_status status = find_storage(r, arguments->items[0], where, &storage, &tensor->dtype);
    if (status)
        return status;
    if (arguments->count >= 7 && /* _v3: elements that the storage knows nothing of */
        !io_checkpoint_dtype(arguments->items[6], &tensor->dtype))
        return hds_raise(r->error, HDS_ERROR_FORMAT, "%s: a dtype that is not read", where);
    if (!io_value_integer(arguments->items[1], &offset) || offset < 0 ||
        !read_lengths(arguments->items[2], tensor->shape, &tensor->dims) ||
        !read_lengths(arguments->items[3], stride, &strides) || strides != tensor->dims)
        return hds_raise(r->error, HDS_ERROR_FORMAT,
                         "%s: expected an offset, at most %d sizes and as many strides", where,
                         IO_MAX_DIMS);
    size_t item = io_dtype_size(tensor->dtype), room = storage->size / item;
    ordered = in_order(tensor, stride, &last, &fits);
    if (!fits ||
        (last >= 0 && ((uint64_t)last >= room || (uint64_t)offset > room - 1 - (size_t)last)))
        return hds_raise(r->error, HDS_ERROR_FORMAT,
                         "%s: reaches out of its storage of %zu elements", where, room);
    if (!io_shape_bytes(tensor->shape, tensor->dims, item, &tensor->size) ||
        tensor->size > storage->size)
        return hds_raise(r->error, HDS_ERROR_FORMAT,
                         "%s: has more elements than its storage of %zu; save it .contiguous()",
                         where, room);
    tensor->data = storage->bytes + (last < 0 ? 0 : (size_t)offset * item);
    return ordered ? HDS_OK : copy_tensor(r, tensor, stride, where);
}

static hds_status read_entry(reader *r, const char *prefix, const io_value *key,
                             const io_value *value)
{
    const io_value *arguments = tensor_arguments(value);
    if ((key->kind != IO_VALUE_TEXT && key->kind != IO_VALUE_BYTES) || !arguments)
        return HDS_OK;
    char where[WHERE_ROOM];
    io_tensor *tensor = &r->file->tensors[r->file->count];
    snprintf(where, sizeof where, "%.400s: %s", r->path, io_print(key->bytes, key->count).text);
    if (key->count > LONGEST_NAME || memchr(key->bytes, '\0', key->count))
        return hds_raise(r->error, HDS_ERROR_FORMAT,
                         "%s: a name of %zu bytes, expected at most %d, none of them zero", where,
                         key->count, LONGEST_NAME);
    hds_status status = read_tensor(r, tensor, arguments, where);
    if (status)
        return status;
    tensor->name = hds_format("%s%.*s", prefix, (int)key->count, key->bytes);
    if (!tensor->name)
        return hds_raise(r->error, HDS_ERROR_MEMORY, "%s: out of memory", where);
    r->file->count++;
    return HDS_OK;
}

/* The dict that holds the tensors, and what begins their names. A textual inversion of
 * AUTOMATIC1111 has a dict of one, or torch's ParameterDict of it. */
static const io_value *find_dict(const io_value *root, const char **prefix)
{
    static const char inversion[] = "string_to_param";
    const io_value *inner = io_value_get(root, "state_dict");
    *prefix = "";
    if (inner && inner->kind == IO_VALUE_DICT)
        return inner;
    inner = io_value_get(root, inversion);
    if (inner && inner->kind == IO_VALUE_OBJECT)
        inner = io_value_get(inner, "_parameters");
    if (!inner || inner->kind != IO_VALUE_DICT)
        return root;
    *prefix = "string_to_param.";
    return inner;
}

hds_status io_checkpoint_tensors(io_tensors *file, const io_value *root, const io_archive *storages,
                                 const char *path, hds_error *error)
{
    const char *prefix;
    const io_value *dict = find_dict(root, &prefix);
    size_t size = file->map.size;
    reader r = { .file = file,
                 .storages = storages,
                 .copies_left = size > SIZE_MAX / COPY_SHARE ? SIZE_MAX : size * COPY_SHARE,
                 .path = path,
                 .error = error };
    size_t entries = dict->kind == IO_VALUE_DICT ? dict->count / 2 : 0;
    file->tensors = hds_alloc(entries, sizeof *file->tensors);
    file->copies = hds_alloc(entries, sizeof *file->copies);
    if (!file->tensors || !file->copies)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    hds_status status = HDS_OK;
    for (size_t i = 0; i < entries && !status; i++)
        status = read_entry(&r, prefix, dict->items[2 * i], dict->items[2 * i + 1]);
    if (!status && !file->count)
        status = hds_raise(error, HDS_ERROR_FORMAT,
                           "%s: holds no tensors; expected a dict of names and tensors, or one in "
                           "\"state_dict\"",
                           path);
    return status;
}
