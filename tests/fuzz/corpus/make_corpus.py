# SPDX-License-Identifier: Apache-2.0
"""Writes the files of this folder, which the unit tests of io read and the fuzzers begin with.

    python3 make_corpus.py [folder]        # needs NumPy 1 and h5py; the files are checked in

Neither chumpy, SciPy nor torch is needed: modules of those names stand in for them, and the files
are those that the real ones write (torch 1.13 loads the checkpoints). Python 2 is stood in for by a
pickler that writes its opcodes.
"""
import collections
import io
import json
import pathlib
import pickle
import struct
import sys
import types
import zipfile
import zlib

import h5py
import numpy as np

FOLDER = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__ + '/..').resolve()


def stand_in(module, *names):
    """Classes of these names in a module that pickle finds under its name."""
    for parent in [module[:i] for i, letter in enumerate(module) if letter == '.']:
        sys.modules.setdefault(parent, types.ModuleType(parent))
    made = sys.modules[module] = types.ModuleType(module)
    for name in names:
        setattr(made, name, type(name, (), {'__module__': module}))
    return made


chumpy = stand_in('chumpy.ch', 'Ch')
sparse = stand_in('scipy.sparse.csc', 'csc_matrix')
by_row = stand_in('scipy.sparse.csr', 'csr_matrix')
torch = stand_in('torch', 'FloatStorage', 'HalfStorage', 'BFloat16Storage', 'DoubleStorage',
                 'LongStorage', 'IntStorage', 'ShortStorage', 'CharStorage', 'ByteStorage',
                 'BoolStorage', 'uint16')
torch_storage = stand_in('torch.storage', 'UntypedStorage')
torch_utils = stand_in('torch._utils')
lightning = stand_in('pytorch_lightning.callbacks.model_checkpoint', 'ModelCheckpoint')
for function in ('_rebuild_tensor_v2', '_rebuild_tensor_v3', '_rebuild_parameter'):
    def stand(*arguments):
        return None
    stand.__name__ = stand.__qualname__ = function
    stand.__module__ = 'torch._utils'
    setattr(torch_utils, function, stand)


class Python2(pickle._Pickler):
    """What Python 2 writes of its str: STRING, SHORT_BINSTRING, BINSTRING."""
    dispatch = dict(pickle._Pickler.dispatch)

    def save_string(self, text):
        data = text.encode('latin1') if isinstance(text, str) else text
        if not self.bin:
            self.write(b'S' + repr(data)[1:].encode() + b'\n')
        elif len(data) < 256:
            self.write(b'U' + bytes([len(data)]) + data)
        else:
            self.write(b'T' + struct.pack('<i', len(data)) + data)
        self.memoize(text)

    dispatch[str] = dispatch[bytes] = save_string


def python2(value, protocol):
    out = io.BytesIO()
    Python2(out, protocol).dump(value)
    return out.getvalue()


def made(kind, **state):
    thing = kind()
    thing.__dict__.update(state)
    return thing


def flame():
    """A head of four vertices, in the form of FLAME's generic_model.pkl."""
    vertices = np.arange(12, dtype=float).reshape(4, 3) / 8
    return {
        'v_template': made(chumpy.Ch, x=vertices, _dirty_vars=set(), _itr=None),
        'shapedirs': made(chumpy.Ch, x=np.asfortranarray(np.arange(24.).reshape(4, 3, 2))),
        'J_regressor': made(sparse.csc_matrix, _shape=(2, 4), maxprint=50,
                            data=np.array([.5, .5, 1]), indices=np.array([0, 1, 1], np.int32),
                            indptr=np.array([0, 1, 2, 3, 3], np.int32)),
        'f': np.array([[0, 1, 2], [0, 2, 3]], np.uint32),
        'kintree_table': np.array([[-1, 0], [0, 1]], np.int64),
        'bs_style': 'lbs',
        'threshold': np.float64(.25),
    }


def plain():
    shared = ['twice']
    return {
        'none': None, 'true': True, 'false': False, 'zero': 0, 'byte': 200, 'short': -40000,
        'wide': -(1 << 40), 'least': -(1 << 63), 'big': 1 << 80, 'real': -0.1, 'bytes': b'\x00\xff\n',
        'text': 'h\xe9\u4e2d\U0001f600\n\\', 'list': [1, [2, []]],
        'tuples': ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        'set': {5}, 'frozen': frozenset({6}), 'shared': (shared, shared), 'array': bytearray(b'ab'),
        'ordered': collections.OrderedDict([('a', 1), ('b', 2)]), 'long bytes': b'x' * 300,
    }


class Storage:
    def __init__(self, kind, array):
        self.kind, self.bytes = kind, array.tobytes()
        self.count = array.size


class Tensor:
    """array's elements in a storage, seen by offset, shape and stride (in elements)."""

    def __init__(self, storage, shape, stride, offset=0, parameter=False):
        self.arguments = (storage, offset, shape, stride, False, collections.OrderedDict())
        self.parameter = parameter

    def __reduce_ex__(self, protocol):
        if self.parameter:
            inner = Tensor(*[self.arguments[i] for i in (0, 2, 3, 1)])
            return torch_utils._rebuild_parameter, (inner, True, collections.OrderedDict())
        return torch_utils._rebuild_tensor_v2, self.arguments


class UntypedTensor(Tensor):
    """What torch 2 writes of dtypes that have no storage class; the length counts bytes."""

    def __reduce_ex__(self, protocol):
        return torch_utils._rebuild_tensor_v3, self.arguments + (torch.uint16, {})


class Torch(pickle._Pickler):
    def __init__(self, out, legacy):
        super().__init__(out, 2)
        self.storages, self.legacy = [], legacy

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        if value not in self.storages:
            self.storages.append(value)
        known = ('storage', value.kind, str(self.storages.index(value)), 'cpu', value.count)
        return known + (None,) if self.legacy else known


def weights():
    f32 = Storage(torch.FloatStorage, np.arange(8, dtype=np.float32))
    half = Storage(torch.HalfStorage, np.array([1, -2], np.float16))
    ids = Storage(torch.LongStorage, np.array([7, 8, 9]))
    return collections.OrderedDict([
        ('plain.weight', Tensor(f32, (2, 3), (3, 1))),
        ('view.weight', Tensor(f32, (2, 2), (2, 1), 4)),
        ('turned.weight', Tensor(f32, (3, 2), (1, 3), 1)),
        ('half', Tensor(half, (2, 1), (1, 1), parameter=True)),
        ('ids', Tensor(ids, (3,), (1,))),
        ('one', Tensor(ids, (), (), 2)),
        ('none', Tensor(f32, (0, 4), (4, 1))),
        ('truth', Tensor(Storage(torch.BoolStorage, np.array([True, False])), (2,), (1,))),
        ('b', Tensor(Storage(torch.BFloat16Storage, np.array([0x3f80], np.uint16)), (1,), (1,))),
    ])


def untyped():
    storage = Storage(torch_storage.UntypedStorage, np.arange(6, dtype=np.uint8))
    return {'u': UntypedTensor(storage, (2,), (1,), 1)}


def lightning_checkpoint():
    return {
        'epoch': 3, 'global_step': np.float64(1e5), 'pytorch-lightning_version': '1.4.2',
        'callbacks': {lightning.ModelCheckpoint: {'best_model_score': None}},
        'state_dict': weights(), 'optimizer_states': [{'state': {0: {'step': 1}}}],
    }


def zipped(value):
    out, archive = io.BytesIO(), io.BytesIO()
    pickler = Torch(out, False)
    pickler.dump(value)
    with zipfile.ZipFile(archive, 'w') as file:
        def add(name, data):
            file.writestr(zipfile.ZipInfo('archive/' + name), data)
        add('data.pkl', out.getvalue())
        add('byteorder', b'little')
        for key, storage in enumerate(pickler.storages):
            add(f'data/{key}', storage.bytes)
        add('version', b'3\n')
    return archive.getvalue()


def widened(data):
    """The archive with 64-bit offsets and sizes, as if it were too large for others."""
    end = data.rindex(b'PK\5\6')
    count, size, start = struct.unpack('<HII', data[end + 10:end + 20])
    directory, at = b'', start
    for _ in range(count):
        fields = list(struct.unpack('<4s6H3I5H2I', data[at:at + 46]))
        name = data[at + 46:at + 46 + fields[10]]
        extra = struct.pack('<HHQQQ', 1, 24, fields[9], fields[8], fields[16])
        fields[8] = fields[9] = fields[16] = 0xffffffff
        at += 46 + fields[10] + fields[11] + fields[12]
        fields[11], fields[12] = len(extra), 0
        directory += struct.pack('<4s6H3I5H2I', *fields) + name + extra
    wide = struct.pack('<4sQHHIIQQQQ', b'PK\6\6', 44, 45, 45, 0, 0, count, count, len(directory),
                       start)
    locator = struct.pack('<4sIQI', b'PK\6\7', 0, start + len(directory), 1)
    last = struct.pack('<4s4H2IH', b'PK\5\6', 0, 0, 0xffff, 0xffff, 0xffffffff, 0xffffffff, 0)
    return data[:start] + directory + wide + locator + last


def legacy(value):
    out = io.BytesIO()
    pickle.dump(0x1950a86a20f9469cfc6c, out, 2)
    pickle.dump(1001, out, 2)
    pickle.dump({'protocol_version': 1001, 'little_endian': True,
                 'type_sizes': {'short': 2, 'int': 4, 'long': 4}}, out, 2)
    pickler = Torch(out, True)
    pickler.dump(value)
    keys = sorted(range(len(pickler.storages)), reverse=True)
    pickle.dump([str(key) for key in keys], out, 2)
    for key in keys:
        out.write(struct.pack('<q', pickler.storages[key].count) + pickler.storages[key].bytes)
    return out.getvalue()


def safetensors():
    header = json.dumps({'__metadata__': {'format': 'pt'},
                         'a': {'dtype': 'F16', 'shape': [2, 1], 'data_offsets': [0, 4]},
                         'b': {'dtype': 'U8', 'shape': [], 'data_offsets': [4, 5]}}).encode()
    return struct.pack('<Q', len(header)) + header + b'\0\x3c\0\xc0\7'


V, F, T, S, E, J = 6, 7, 8, 2, 5, 4     # apart, so that an extent says what it counts


def head(real='f4'):
    """A head of every array in our own format."""
    rng = np.random.default_rng(1)

    def numbers(*shape):
        return (rng.standard_normal(shape) / 8).astype(real)

    weights = np.eye(J)[np.arange(V) % J]
    weights[1] = weights.mean(0)
    return {
        'name': np.bytes_('corpus'), 'vertices': numbers(V, 3),
        'faces': rng.integers(0, V, (F, 3)).astype('u4'),
        'shape_basis': numbers(S, V, 3), 'expression_basis': numbers(E, V, 3),
        'expression_names': np.array(['smile', 'blink', 'a', 'b', 'h\xe9'.encode()], 'S'),
        'uvs': rng.random((T, 2)).astype(real),
        'uv_faces': rng.integers(0, T, (F, 3)).astype('u4'),
        'joints': numbers(J, 3), 'joint_parents': np.array([-1, 0, 1, 1], 'i4'),
        'joint_names': np.array(['root', 'neck', 'jaw', 'eye'], 'S'),
        'joint_shape_basis': numbers(S, J, 3), 'joint_expression_basis': numbers(E, J, 3),
        'pose_basis': numbers(9 * (J - 1), V, 3), 'skin_weights': weights.astype(real),
        'mean_texture': rng.integers(0, 256, (4, 9, 3)).astype('u1'),
    }


def saved_head(model, version=1, lines=3, **more):
    """A .headsds file on that model."""
    rng = np.random.default_rng(4)
    topology = 0xcbf29ce484222325
    for byte in model['faces'].tobytes() + model['uv_faces'].tobytes():
        topology = (topology ^ byte) * 0x100000001b3 % (1 << 64)
    return {
        'format': np.bytes_(f'headsds {version}'), 'model_path': np.bytes_('whole.npz'),
        'model_name': np.bytes_('corpus'), 'model_counts': np.array([V, F, T, S, E, J], 'u8'),
        'model_topology': np.array(topology, 'u8'), 'prompt': np.bytes_('a head'),
        'shape': rng.standard_normal(S).astype('f4'), 'expression': rng.random(E).astype('f4'),
        'pose': rng.standard_normal((J, 3)).astype('f4'),
        'history_stage': np.arange(lines, dtype='i4') % 2, 'history_step': np.arange(lines, dtype='i4'),
        'history_numbers': rng.random((lines, 3)).astype('f4'), **more,
    }


def part(arrays, *names):
    return {name: arrays[name] for name in names}


def flame_arrays(columns=S + E, real='f8'):
    """A head in FLAME's names; a matrix of more than 300 columns has expressions."""
    rng = np.random.default_rng(2)
    return {
        'v_template': rng.standard_normal((V, 3)).astype(real),
        'f': rng.integers(0, V, (F, 3)).astype('u4'),
        'shapedirs': (8 * rng.random((V, 3, columns))).astype(real),
        'posedirs': (8 * rng.random((V, 3, 9 * (J - 1)))).astype('f2'),
        'J_regressor': np.eye(J, V), 'kintree_table': np.array([[-1, 0, 1, 1], range(J)]),
        'weights': np.eye(J)[np.arange(V) % J],
    }


def compressed(matrix, made_by, columns):
    lines = matrix.T if columns else matrix
    return made(made_by, _shape=matrix.shape, data=np.concatenate([x[x != 0] for x in lines]),
                indices=np.concatenate([np.flatnonzero(x) for x in lines]).astype('i4'),
                indptr=np.cumsum([0] + [(x != 0).sum() for x in lines]).astype('i4'))


def flames():
    """Pickles, and what may lie beside them: the three files with a line "====" between them."""
    wide, plain = flame_arrays(), flame_arrays(302, 'u1')
    short = {**flame_arrays(2, 'f4'), 'kintree_table': wide['kintree_table'].astype('u4')}
    for name in ('v_template', 'shapedirs', 'posedirs'):
        wide[name] = made(chumpy.Ch, x=wide[name])
    csr = {**wide, 'J_regressor': compressed(wide['J_regressor'], by_row.csr_matrix, False)}
    wide['J_regressor'] = compressed(wide['J_regressor'], sparse.csc_matrix, True)
    lines = [f'v {k} 0 {-k / 8}' for k in range(V)] + [f'vt {k / F} {1 - k / F}' for k in range(F)]
    lines += ['f ' + ' '.join(f'{v + 1}/{k + 1}' for v in face)
              for k, face in enumerate(short['f'].tolist())]
    obj, mark = '\n'.join(lines).encode(), b'\n====\n'
    mean = np.random.default_rng(3).integers(0, 256, (4, 5, 3)).astype('u1')
    texture = npz(np.savez, mean=mean)
    return {
        'dense_4': pickle.dumps(plain, 4) + 2 * mark, 'sparse_2': pickle.dumps(wide, 2) + 2 * mark,
        'rows_4': pickle.dumps(csr, 4) + 2 * mark, 'python2_0': python2(short, 0) + 2 * mark,
        'template': pickle.dumps(short, 2) + mark + obj + mark,
        'all': pickle.dumps(short, 4) + mark + obj + mark + texture,
        'reals': pickle.dumps(short, 5) + mark + obj + mark
                 + npz(np.savez_compressed, mean=mean.astype('f8')),
    }


OBJS = {
    'all': """# a comment
mtllib a.mtl
v 0 0 0
v 1 -0.5 +.25 0.1 0.2 0.3
v 1e0 1.0E+0 0
v 0 1 0
v 0.5 1.50000000000000000000001 -12345678901234567
vt 0 0
vt 1 0 7
\tvt 0.5
vn 0 0 1
g part
f 1/1 2/2 3/3 4/1 # a quad
f -2/-3/1 3/3/1 -1/2/1
f 1/1 2/2 3/3 5/2 4/1
""",
    'normals': 'v 0 0 0\r\nv 1 0 0\r\nv 0 1 0\r\nvt 0 0\r\nf 1//4 2//4 3\r\n',
    'positions': 'v 1 2 3\nv .5 5. -0\nv 1e-300 3.4e38 0x1p3',
    'wrong': 'v 0 0 0\nf 1 1 99999999999\n',
}


def npz(save, **arrays):
    out = io.BytesIO()
    save(out, **arrays)
    return out.getvalue()


def two(save):
    return npz(save, a=np.asfortranarray(np.arange(6.).reshape(2, 3)), names=np.array([b'jaw', b'neck']))


def mat_element(kind, data):
    return struct.pack('<II', kind, len(data)) + data + b'\0' * (-len(data) % 8)


def mat_matrix(name, array, matlab_class, kind):
    return mat_element(14, mat_element(6, struct.pack('<II', matlab_class, 0)) +
                       mat_element(5, np.array(array.shape, '<i4').tobytes()) +
                       mat_element(1, name.encode()) + mat_element(kind, array.tobytes('F')))


def mat_header(version):
    return (b'MATLAB 7.3' if version == 0x200 else b'MATLAB 5.0').ljust(124) + struct.pack('<H', version) + b'IM'


def mat5(packed):
    """A double stored as such, one stored as bytes, text."""
    variables = [mat_matrix('numbers', np.arange(12.).reshape(3, 4), 6, 9),
                 mat_matrix('bytes', np.arange(6, dtype='u1').reshape(2, 3), 6, 2),
                 mat_matrix('text', np.frombuffer(b'abcd', 'u1').reshape(1, 4), 4, 16)]
    if packed:
        streams = [zlib.compress(v) for v in variables]
        variables = [struct.pack('<II', 15, len(v)) + v for v in streams]
    return mat_header(0x100) + b''.join(variables)


def mat73():
    """An array in a piece, one in shuffled and packed chunks that reach beyond it, a struct."""
    out = io.BytesIO()
    with h5py.File(out, 'w', userblock_size=512, libver=('earliest', 'v108')) as file:
        whole = file.create_dataset('whole', data=np.arange(12, dtype='<f8').reshape(4, 3))
        whole.attrs['MATLAB_class'] = np.bytes_('double')
        parts = file.create_dataset('parts', data=-np.arange(35, dtype='<i2').reshape(5, 7),
                                    chunks=(2, 4), shuffle=True, compression='gzip')
        parts.attrs['MATLAB_class'] = np.bytes_('int16')
        file.create_group('record').attrs['MATLAB_class'] = np.bytes_('struct')
        file.create_group('#refs#')
    data = out.getvalue()
    return mat_header(0x200) + data[128:]


def main():
    files = {f'pickle/plain_{protocol}.pkl': pickle.dumps(plain(), protocol) for protocol in range(6)}
    for protocol in (0, 2):
        files[f'pickle/flame_python2_{protocol}.pkl'] = python2(flame(), protocol)
    for protocol in (2, 4, 5):
        files[f'pickle/flame_python3_{protocol}.pkl'] = pickle.dumps(flame(), protocol)
    files['checkpoint/flat.pt'] = zipped(weights())
    files['checkpoint/wide.pt'] = widened(files['checkpoint/flat.pt'])
    files['checkpoint/lightning.ckpt'] = zipped(lightning_checkpoint())
    files['checkpoint/untyped.pt'] = zipped(untyped())
    files['checkpoint/legacy.pth'] = legacy(weights())
    files['safetensors/two.safetensors'] = safetensors()
    files['mat/stored5.mat'] = mat5(False)
    files['mat/packed5.mat'] = mat5(True)
    files['mat/chunks73.mat'] = mat73()
    files['npz/stored.npz'] = two(np.savez)
    files['npz/packed.npz'] = two(np.savez_compressed)
    whole = head()
    shape = part(whole, 'name', 'vertices', 'faces', 'shape_basis')
    files['head/whole.npz'] = npz(np.savez, **whole)
    files['head/half.npz'] = npz(np.savez_compressed, **head('f2'))
    files['head/double.npz'] = npz(np.savez_compressed, **head('f8'))
    files['head/least.npz'] = npz(np.savez, **shape)
    files['head/expressions.npz'] = npz(
        np.savez, **shape, **part(whole, 'expression_basis', 'expression_names'))
    files['head/fortran.npz'] = npz(
        np.savez, **{**shape, 'shape_basis': np.asfortranarray(whole['shape_basis'])})
    files['head/textured.npz'] = npz(np.savez, **shape, **part(whole, 'uvs', 'uv_faces', 'mean_texture'))
    files['head/jointed.npz'] = npz(np.savez, **shape, **part(
        whole, 'joints', 'joint_parents', 'joint_names', 'joint_shape_basis', 'skin_weights'))
    files['head/flame.npz'] = npz(np.savez, **flame_arrays(real='f4'))
    files['head/flame_expressions.npz'] = npz(np.savez, **flame_arrays(301, 'u1'))
    files['headsds/plain.headsds'] = npz(np.savez, **saved_head(whole))
    files['headsds/sculpt.headsds'] = npz(np.savez, **saved_head(
        whole, 2, offsets=np.arange(3 * V, dtype='f4').reshape(V, 3) / 99))
    files['headsds/whole.headsds'] = npz(np.savez_compressed, **saved_head(
        whole, model_uv_template=np.bytes_('uv.obj'), model_mean_texture=np.bytes_('mean.png'),
        model_base_pose=np.zeros((J, 3), 'f4'), texture=np.arange(60, dtype='u1').reshape(4, 5, 3)))
    files['headsds/bare.headsds'] = npz(np.savez_compressed, **saved_head(whole, lines=0))
    for name, data in flames().items():
        files[f'flame/{name}.parts'] = data
    for name, text in OBJS.items():
        files[f'obj/{name}.obj'] = text.encode()
    for name, data in files.items():
        (FOLDER / name).parent.mkdir(exist_ok=True)
        (FOLDER / name).write_bytes(data)


if __name__ == '__main__':
    main()
