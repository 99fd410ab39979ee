# SPDX-License-Identifier: Apache-2.0
"""A small head model as a headsds .npz, made without NumPy: an egg with a UV seam."""

import math
import struct
import zipfile

ROWS, COLUMNS, SHAPES, TEXTURE = 8, 12, 2, 16
EXPRESSIONS = ("jawOpen", "smile", "blink")
JOINTS = ("neck", "jaw")
VERTICES = (ROWS - 1) * COLUMNS + 2


def _npy(kind, shape, values):
    """An .npy file; kind: numpy's '<f4', '<u4', '|u1' or '|S8'."""
    header = "{'descr': '%s', 'fortran_order': False, 'shape': %s, }" % (kind, repr(tuple(shape)))
    header += " " * (-(len(header) + 11) % 64) + "\n"
    if "S" in kind:
        width = int(kind[2:])
        data = b"".join(v.encode().ljust(width, b"\0") for v in values)
    else:
        code = {"<f4": "f", "<u4": "I", "<i4": "i", "|u1": "B"}[kind]
        data = struct.pack("<%d%s" % (len(values), code), *values)
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode() + data


def _vertex(row, column):
    if row in (0, ROWS):
        return VERTICES - 2 + (row == ROWS)
    return (row - 1) * COLUMNS + column % COLUMNS


def _surface():
    vertices, uvs, faces, uv_faces = [0.0] * (3 * VERTICES), [], [], []
    for row in range(ROWS + 1):
        for column in range(COLUMNS + 1):
            t, p = math.pi * row / ROWS, 2 * math.pi * column / COLUMNS - math.pi
            at = 3 * _vertex(row, column)
            vertices[at : at + 3] = (
                0.08 * math.sin(t) * math.sin(p),
                0.12 * math.cos(t),
                0.09 * math.sin(t) * math.cos(p),
            )
            uvs += [column / COLUMNS, 1 - row / ROWS]
    for row in range(ROWS):
        for column in range(COLUMNS):
            a, b = (row, column), (row + 1, column)
            c, d = (row + 1, column + 1), (row, column + 1)
            for corners in [(a, b, c)] * (row < ROWS - 1) + [(a, c, d)] * (row > 0):
                faces += [_vertex(*corner) for corner in corners]
                uv_faces += [r * (COLUMNS + 1) + q for r, q in corners]
    return vertices, uvs, faces, uv_faces


def write(path, textured=True):
    vertices, uvs, faces, uv_faces = _surface()
    numbers = range(VERTICES * 3)
    shapes = [0.004 * math.sin(i) for i in numbers] + [0.003 * math.cos(2 * i) for i in numbers]
    targets = []
    for k in range(len(EXPRESSIONS)):
        targets += [0.01 if i // 3 % 7 == k and i % 3 == k else 0.0 for i in numbers]
    weights = []
    for i in range(VERTICES):
        weights += [0.25, 0.75] if i % 2 else [1.0, 0.0]
    arrays = {
        "name": ("|S3", (), ["egg"]),
        "vertices": ("<f4", (VERTICES, 3), vertices),
        "faces": ("<u4", (len(faces) // 3, 3), faces),
        "uvs": ("<f4", (len(uvs) // 2, 2), uvs),
        "uv_faces": ("<u4", (len(faces) // 3, 3), uv_faces),
        "shape_basis": ("<f4", (SHAPES, VERTICES, 3), shapes),
        "expression_basis": ("<f4", (len(EXPRESSIONS), VERTICES, 3), targets),
        "expression_names": ("|S8", (len(EXPRESSIONS),), EXPRESSIONS),
        "joints": ("<f4", (2, 3), [0, -0.1, 0, 0, 0.02, 0]),
        "joint_parents": ("<i4", (2,), [-1, 0]),
        "joint_names": ("|S4", (2,), JOINTS),
        "joint_shape_basis": ("<f4", (SHAPES, 2, 3), [0.0] * (SHAPES * 6)),
        "skin_weights": ("<f4", (VERTICES, 2), weights),
    }
    if textured:
        colours = [(37 * i + i // 48) % 256 for i in range(TEXTURE * TEXTURE * 3)]
        arrays["mean_texture"] = ("|u1", (TEXTURE, TEXTURE, 3), colours)
    with zipfile.ZipFile(path, "w") as file:
        for name, (kind, shape, values) in arrays.items():
            file.writestr(name + ".npy", _npy(kind, shape, values))
    return path
