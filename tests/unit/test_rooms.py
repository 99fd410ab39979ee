# SPDX-License-Identifier: Apache-2.0
"""Reads the #include lines under src/: a room uses only rooms below it, and keeps its languages.

The order is that of the subdir() lines in src/meson.build. The first argument is the root of the
sources; the other tests show, on small trees, that each rule can be broken and is noticed.
"""
import pathlib
import re
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
TORCH = ('torch/', 'ATen/', 'c10/', 'caffe2/')


def room_order(source):
    return re.findall(r"^\s*subdir\('(\w+)'\)", (source / 'meson.build').read_text(), re.MULTILINE)


def check_include(order, room, path, quote, target):
    """The complaint about one include of path (a file of room), or None."""
    if pathlib.PurePath(target).name == 'Python.h' and room != 'python':
        return 'Python.h is included by python/ alone'
    if target.startswith(TORCH) and not re.fullmatch(r'aten\w*\.(cc|h)', path.name):
        return 'libtorch is included by tensor/aten* alone'
    if target.startswith(TORCH) and room != 'tensor':
        return 'libtorch is included by tensor/aten* alone'
    other = target.split('/')[0]
    if quote == '<' or other == 'headsds' or other == room:
        return None
    if other not in order or '/' not in target:
        return f'"{target}" is in no room'
    if order.index(other) > order.index(room):
        return f'room {other} is above {room}'
    if target.endswith('_priv.h'):
        return f'"{target}" is private to {other}'
    return None


def complaints(source):
    order = room_order(source)
    found = []
    for path in sorted(source.rglob('*')):
        if path.suffix not in ('.c', '.h', '.cc', '.cpp', '.cxx', '.hpp'):
            continue
        place = path.relative_to(source)
        room = place.parts[0]
        if room not in order or len(place.parts) != 2:
            found.append(f'{place}: is in no room of src/meson.build')
            continue
        if path.suffix not in ('.c', '.h') and (path.suffix != '.cc' or
                                                room not in ('tensor', 'scene')):
            found.append(f'{place}: C++ is for tensor/ and scene/ alone, as .cc')
        text = path.read_text(encoding='utf-8')
        for match in INCLUDE.finditer(text):
            complaint = check_include(order, room, path, *match.groups())
            if complaint:
                line = text.count('\n', 0, match.start(2)) + 1
                found.append(f'{place}:{line}: {complaint}')
    return found


class Rooms(unittest.TestCase):
    def test_house(self):
        self.assertGreater(len(room_order(ROOT / 'src')), 6)
        self.assertEqual(complaints(ROOT / 'src'), [])

    def check_tree(self, name, text, expected):
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder)
            (source / 'meson.build').write_text(''.join(
                f"subdir('{room}')\n" for room in ('base', 'head', 'tensor', 'scene', 'python')))
            path = source / name
            path.parent.mkdir()
            path.write_text(text)
            found = complaints(source)
        self.assertEqual(len(found), 1 if expected else 0, found)
        if expected:
            self.assertIn(expected, found[0])

    def test_allowed(self):
        self.check_tree('tensor/aten_x.cc', '#include "base/base.h"\n#include <ATen/ATen.h>\n'
                        '#include "headsds/error.h"\n#include "tensor/aten_priv.h"\n', None)
        self.check_tree('python/a.c', '#include <Python.h>\n#include "head/head.h"\n', None)

    def test_upward(self):
        self.check_tree('head/a.c', '\n  # include "tensor/tensor.h"\n', 'head/a.c:2: room tensor')

    def test_python(self):
        self.check_tree('scene/a.c', '#include <Python.h>\n', 'Python.h')

    def test_torch(self):
        self.check_tree('tensor/other.cc', '#include <torch/torch.h>\n', 'libtorch')
        self.check_tree('scene/aten_a.cc', '#include <c10/util/Half.h>\n', 'libtorch')

    def test_cpp(self):
        self.check_tree('head/a.cc', '', 'C++')
        self.check_tree('tensor/a.cpp', '', 'C++')

    def test_private(self):
        self.check_tree('tensor/a.c', '#include "head/head_priv.h"\n', 'private to head')

    def test_homeless(self):
        self.check_tree('cellar/a.c', '', 'no room')
        self.check_tree('head/a.c', '#include "nowhere.h"\n', 'in no room')


if __name__ == '__main__':
    if len(sys.argv) > 1:
        ROOT = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
