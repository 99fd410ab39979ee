# SPDX-License-Identifier: Apache-2.0
"""Reads the #include lines under src/: a module uses only modules below it, keeps to its language and
to its half, and sees no private header of another.

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
CXX = ('tensor', 'asset')
GEOMETRY = {'mesh', 'raster', 'head', 'headfile', 'view', 'render', 'asset'}
NETWORK = {'tensor', 'nn', 'diffusion', 'prior', 'guide'}
BOTH = {'texture', 'fit', 'learn'}
# The module that each public header describes: those below it may not know it.
PUBLIC = {'error.h': 'base', 'option.h': 'base', 'version.h': 'base', 'threads.h': 'base', 'head_model.h': 'head',
          'head.h': 'head', 'view.h': 'view', 'render.h': 'render', 'report.h': 'render',
          'uv.h': 'render', 'asset.h': 'asset', 'prior.h': 'prior', 'sample.h': 'prior',
          'attention.h': 'prior', 'clip.h': 'prior', 'generate.h': 'guide', 'headsds.h': 'python'}


def module_order(source):
    return re.findall(r"^\s*subdir\('(\w+)'\)", (source / 'meson.build').read_text(), re.MULTILINE)


def half(module):
    return 'geometry' if module in GEOMETRY else 'network' if module in NETWORK else None


def check_include(order, module, path, quote, target):
    """The complaint about one include of path (a file of module), or None."""
    folder, _, name = target.rpartition('/')
    if name == 'Python.h' and module != 'python':
        return 'Python.h is included by python/ alone'
    if target.startswith(TORCH) and (module != 'tensor' or
                                     not re.fullmatch(r'aten\w*\.(cc|h)', path.name)):
        return 'libtorch is included by tensor/aten* alone'
    if quote == '<':
        return None
    if not folder:
        return None if (path.parent / name).exists() else f'"{target}" is not in {module}'
    if folder == 'headsds':
        low = PUBLIC.get(name)
        if low is None:
            return f'"{target}" is not in the table of this test'
        if low in order and order.index(low) > order.index(module):
            return f'"{target}" describes {low}, which is above {module}'
        return None
    if folder not in order or name != f'{folder}.h':
        return f'"{target}" is the header of no module'
    if order.index(folder) > order.index(module):
        return f'module {folder} is above {module}'
    return None


def check_halves(module, included):
    """One module, and all modules whose headers its files include."""
    halves = {half(other) for other in included | {module}} - {None}
    if len(halves) == 2 and module not in BOTH | {'python', 'cli'}:
        return f'{module}: includes both halves; only {", ".join(sorted(BOTH))} may'
    return None


def complaints(source):
    order = module_order(source)
    found, included = [], {module: set() for module in order}
    for path in sorted(source.rglob('*')):
        if path.suffix not in ('.c', '.h', '.cc', '.cpp', '.cxx', '.hpp'):
            continue
        place = path.relative_to(source)
        module, depth = place.parts[0], len(place.parts)
        if module not in order or not (depth == 2 or place.parts[1:-1] == ('include', module)):
            found.append(f'{place}: is in no module of src/meson.build')
            continue
        if path.suffix not in ('.c', '.h') and (path.suffix != '.cc' or module not in CXX):
            found.append(f'{place}: C++ is for {" and ".join(CXX)} alone, as .cc')
        text = path.read_text(encoding='utf-8')
        for match in INCLUDE.finditer(text):
            complaint = check_include(order, module, path, *match.groups())
            if complaint:
                line = text.count('\n', 0, match.start(2)) + 1
                found.append(f'{place}:{line}: {complaint}')
            if match[1] == '"':
                included[module].add(match[2].split('/')[0])
    return found + [c for module in order if (c := check_halves(module, included[module]))]


class Modules(unittest.TestCase):
    def test_house(self):
        self.assertGreater(len(module_order(ROOT / 'src')), 15)
        self.assertEqual(complaints(ROOT / 'src'), [])

    def check_tree(self, files, expected):
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder)
            (source / 'meson.build').write_text(''.join(
                f"subdir('{m}')\n"
                for m in ('base', 'head', 'asset', 'tensor', 'prior', 'fit', 'python')))
            for name, text in files.items():
                path = source / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            found = complaints(source)
        self.assertEqual(len(found), 1 if expected else 0, found)
        if expected:
            self.assertIn(expected, found[0])

    def test_allowed(self):
        self.check_tree({'tensor/aten_x.cc': '#include "base/base.h"\n#include <ATen/ATen.h>\n'
                                             '#include "headsds/error.h"\n'
                                             '#include "aten_priv.h"\n',
                         'tensor/aten_priv.h': '',
                         'tensor/include/tensor/tensor.h': ''}, None)
        self.check_tree({'python/a.c': '#include <Python.h>\n#include "head/head.h"\n'}, None)
        self.check_tree({'fit/a.c': '#include "prior/prior.h"\n#include "head/head.h"\n'}, None)

    def test_upward(self):
        self.check_tree({'head/a.c': '\n  # include "asset/asset.h"\n'},
                        'head/a.c:2: module asset')

    def test_public(self):
        self.check_tree({'head/a.c': '#include "headsds/asset.h"\n'}, 'describes asset')
        self.check_tree({'head/a.c': '#include "headsds/nowhere.h"\n'}, 'table')

    def test_halves(self):
        self.check_tree({'prior/a.c': '#include "tensor/tensor.h"\n',
                         'prior/b.c': '#include "head/head.h"\n'}, 'both halves')

    def test_python(self):
        self.check_tree({'asset/a.c': '#include <Python.h>\n'}, 'Python.h')

    def test_torch(self):
        self.check_tree({'tensor/other.cc': '#include <torch/torch.h>\n'}, 'libtorch')
        self.check_tree({'asset/aten_a.cc': '#include <c10/util/Half.h>\n'}, 'libtorch')

    def test_cpp(self):
        self.check_tree({'head/a.cc': ''}, 'C++')
        self.check_tree({'tensor/a.cpp': ''}, 'C++')

    def test_private(self):
        self.check_tree({'asset/a.c': '#include "head/head_priv.h"\n', 'head/head_priv.h': ''},
                        'header of no module')
        self.check_tree({'asset/a.c': '#include "head_priv.h"\n', 'head/head_priv.h': ''},
                        'is not in asset')

    def test_homeless(self):
        self.check_tree({'cellar/a.c': ''}, 'no module')
        self.check_tree({'head/deep/a.h': ''}, 'no module')


if __name__ == '__main__':
    if len(sys.argv) > 1:
        ROOT = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
