# SPDX-License-Identifier: Apache-2.0
"""headsds.HeadModel."""

import array
import math

import pytest

import headsds
import toy


def test_counts_and_names(egg):
    assert egg.name == "egg"
    assert (egg.vertex_count, egg.face_count) == (toy.VERTICES, 2 * toy.COLUMNS * (toy.ROWS - 1))
    assert (egg.shape_count, egg.expression_count, egg.joint_count) == (2, 3, 2)
    assert egg.expression_names == toy.EXPRESSIONS
    assert egg.joint_names == toy.JOINTS
    assert (egg.part_names, egg.face_parts) == ((), None)
    assert "egg" in repr(egg)


@pytest.mark.parametrize(
    "name, format, shape",
    [
        ("faces", "I", (168, 3)),
        ("uv_faces", "I", (168, 3)),
        ("uvs", "f", (117, 2)),
        ("mean_texture", "B", (16, 16, 3)),
    ],
)
def test_arrays_are_views(egg, name, format, shape):
    view = getattr(egg, name)
    assert isinstance(view, memoryview)
    assert (view.format, view.shape) == (format, shape)
    assert view.readonly and view.c_contiguous


def test_views_outlive_the_model(egg_path):
    faces = headsds.HeadModel.load(egg_path).faces
    assert max(max(face) for face in faces.tolist()) == toy.VERTICES - 1


def test_views_cannot_be_written(egg):
    with pytest.raises(TypeError):
        egg.faces[0, 0] = 1


def test_model_without_texture(tmp_path):
    model = headsds.HeadModel.load(toy.write(tmp_path / "plain.npz", textured=False))
    assert model.mean_texture is None


def test_limited_counts(egg_path):
    model = headsds.HeadModel.load(egg_path, shape_count=1, expression_count=2)
    assert (model.shape_count, model.expression_names) == (1, toy.EXPRESSIONS[:2])


def test_vertices_are_the_template_at_zero(egg):
    vertices = egg.vertices()
    assert (vertices.format, vertices.shape, vertices.readonly) == ("f", (toy.VERTICES, 3), False)
    top = vertices.tolist()[toy.VERTICES - 2]
    assert top == pytest.approx([0, 0.12, 0], abs=1e-7)


@pytest.mark.parametrize(
    "make",
    [
        list,
        tuple,
        lambda v: array.array("f", v),
        lambda v: array.array("d", v),
        lambda v: memoryview(array.array("f", v)),
    ],
)
def test_any_numbers_go_in(egg, make):
    moved = egg.vertices(shape=make([0.5, -1.0]))
    basis = 0.004 * math.sin(1), 0.003 * math.cos(2)
    wanted = egg.vertices()[0, 1] + 0.5 * basis[0] - basis[1]
    assert moved[0, 1] == pytest.approx(wanted, abs=1e-7)


def test_expression_moves_its_own_vertices(egg):
    base, moved = egg.vertices().tolist(), egg.vertices(expression=[1]).tolist()
    changed = {i for i in range(toy.VERTICES) if base[i] != moved[i]}
    assert changed == set(range(0, toy.VERTICES, 7))


def test_pose_as_rows_or_flat(egg):
    numpy = pytest.importorskip("numpy")
    rows = numpy.array([[0, math.pi / 2, 0], [0, 0, 0]], "f4")
    a, b = numpy.asarray(egg.vertices(pose=rows)), numpy.asarray(egg.vertices(pose=rows.ravel()))
    assert (a == b).all()
    base = numpy.asarray(egg.vertices())
    assert numpy.allclose(a[:, 0], base[:, 2], atol=1e-6)  # +z turns to +x


@pytest.mark.parametrize("give", [list, lambda v: array.array("f", v),
                                  lambda v: memoryview(array.array("f", v)).cast("B").cast("f", (2, 3))])
def test_base_pose(egg, egg_path, give):
    turns = [0.1, 0, 0, 0.2, -0.1, 0]
    posed = headsds.HeadModel.load(egg_path, base_pose=give(turns))
    assert egg.base_pose is None
    assert (posed.base_pose.format, posed.base_pose.shape) == ("f", (2, 3))
    assert sum(posed.base_pose.tolist(), []) == pytest.approx(turns)
    assert posed.vertices() == egg.vertices(pose=turns)
    assert posed.vertices(pose=[-t for t in array.array("f", turns)]) == egg.vertices()


@pytest.mark.parametrize("given, exception, message", [
    ("mean", ValueError, r"base_pose: 'mean', expected 'average' or rotations \(J, 3\)"),
    ([0.0] * 7, ValueError, "base_pose has 7 numbers, expected at most the model's 6"),
    ([0, float("nan")], ValueError, r"base_pose\[1\] is nan"),
    (1.0, TypeError, "base_pose: <class 'float'>, expected an array"),
    (b"abcd", TypeError, "base_pose: <class .bytes.>, expected an array"),
])
def test_wrong_base_poses(egg_path, given, exception, message):
    with pytest.raises(exception, match=message):
        headsds.HeadModel.load(egg_path, base_pose=given)


def test_missing_file():
    with pytest.raises(FileNotFoundError, match="no/such.npz"):
        headsds.HeadModel.load("no/such.npz")


def test_file_that_is_no_model(tmp_path):
    path = tmp_path / "bad.npz"
    path.write_bytes(b"not a zip")
    with pytest.raises(headsds.FormatError, match="bad.npz"):
        headsds.HeadModel.load(path)


@pytest.mark.parametrize(
    "arguments, exception, message",
    [
        ({"shape": [0, float("nan")]}, ValueError, r"shape.*1"),
        ({"expression": [float("inf")]}, ValueError, "expression"),
        ({"pose": [float("nan")] * 3}, ValueError, "pose"),
        ({"shape": [0.0] * 3}, ValueError, "shape.*3.*2"),
        ({"pose": [0.0] * 9}, ValueError, "pose.*9"),
        ({"shape": "ab"}, TypeError, r"shape: <class 'str'>, expected an array"),
        ({"shape": [0, None]}, TypeError, "shape: element 1 is not a number: None"),
        ({"shape": b"abcd"}, TypeError, "shape: <class 'bytes'>, expected an array"),
        ({"shape": memoryview(bytes(2)).cast("c")}, TypeError, "type 'c', expected floats, integers or bools"),
        ({"shape": 1.0}, TypeError, "shape"),
        ({"shapes": [1]}, TypeError, "shapes"),
    ],
)
def test_wrong_arguments(egg, arguments, exception, message):
    with pytest.raises(exception, match=message):
        egg.vertices(**arguments)


def test_wrong_shapes_of_arrays(egg):
    numpy = pytest.importorskip("numpy")
    with pytest.raises(ValueError, match=r"shape: shape \(1, 2\), expected \(N,\)"):
        headsds.Head(egg, shape=numpy.zeros((1, 2), "f4"))
    with pytest.raises(ValueError, match=r"pose: shape \(2, 2\), expected \(J, 3\)"):
        egg.vertices(pose=numpy.zeros((2, 2), "f4"))
    with pytest.raises(ValueError, match="not C-contiguous"):
        egg.vertices(shape=numpy.zeros(4, "f4")[::2])


def test_no_constructor():
    with pytest.raises(TypeError):
        headsds.HeadModel()


def polygons(egg):
    return array.array("I", [3] * egg.face_count), array.array("I", sum(egg.faces.tolist(), []))


def test_match_topology(egg):
    sizes, corners = polygons(egg)
    identity = list(range(egg.vertex_count))
    order = headsds.match_topology(egg, sizes, corners, egg.vertex_count)
    assert isinstance(order, memoryview) and order.format == "I" and order.tolist() == identity
    for arguments in ((list(sizes), corners.tolist()),
                      (array.array("q", sizes), array.array("i", corners))):
        assert headsds.match_topology(egg, *arguments, egg.vertex_count).tolist() == identity
        assert headsds.match_topology(egg, *arguments, egg.vertex_count,
                                      egg.vertices()).tolist() == identity


def test_match_topology_returns_the_order(egg):
    """Vertices and faces shuffled, and the mesh turned, scaled and moved. The egg looks the same
    from four sides: what tells is how far its vertices are from each other."""
    numpy = pytest.importorskip("numpy")
    random = numpy.random.default_rng(4)
    order = random.permutation(egg.vertex_count)
    names = numpy.argsort(order).astype("u4")
    corners = names[numpy.asarray(egg.faces)][random.permutation(egg.face_count)]
    positions = numpy.ascontiguousarray(
        100 * numpy.asarray(egg.vertices())[order][:, [2, 0, 1]] + [1, 2, 3])
    sizes = [3] * egg.face_count
    found = headsds.match_topology(egg, sizes, corners.ravel(), egg.vertex_count, positions)
    def distances(points):
        return numpy.linalg.norm(points[:, None] - points[None], axis=-1)

    template = numpy.asarray(egg.vertices())[numpy.asarray(found)]
    assert numpy.allclose(100 * distances(template), distances(positions), atol=1e-4)
    bare = headsds.match_topology(egg, sizes, corners.ravel(), egg.vertex_count)
    for found in found, bare:
        assert sorted(found.tolist()) == list(range(egg.vertex_count))
        renamed = numpy.asarray(found)[corners].ravel()
        assert headsds.match_topology(egg, sizes, renamed, egg.vertex_count).tolist() == list(
            range(egg.vertex_count))


def test_match_topology_says_what_differs(egg):
    sizes, corners = polygons(egg)
    with pytest.raises(ValueError, match=f"{egg.vertex_count + 1}.*{egg.vertex_count}"):
        headsds.match_topology(egg, sizes, corners, egg.vertex_count + 1)
    corners[0], corners[1] = corners[1], corners[0]
    with pytest.raises(ValueError):
        headsds.match_topology(egg, sizes, corners, egg.vertex_count)
    with pytest.raises(ValueError, match="corners"):
        headsds.match_topology(egg, sizes, corners[:-1], egg.vertex_count)
    with pytest.raises(ValueError, match="element 0 is out of range"):
        headsds.match_topology(egg, [-1], [], egg.vertex_count)
    with pytest.raises(ValueError, match="vertex_count: -1"):
        headsds.match_topology(egg, sizes, corners, -1)
    with pytest.raises(ValueError, match=f"mesh has {1 << 60} vertices, expected"):
        headsds.match_topology(egg, sizes, corners, 1 << 60)
    with pytest.raises(TypeError, match="HeadModel"):
        headsds.match_topology(None, sizes, corners, egg.vertex_count)


@pytest.mark.parametrize("shape", [(3, 3), (3,), (3, 2)])
def test_match_topology_wants_a_position_for_each_vertex(egg, shape):
    numpy = pytest.importorskip("numpy")
    sizes, corners = polygons(egg)
    with pytest.raises(ValueError, match="positions: "):
        headsds.match_topology(egg, sizes, corners, egg.vertex_count, numpy.zeros(shape, "f4"))
    positions = numpy.asarray(egg.vertices()).copy()
    positions[2, 1] = numpy.nan
    with pytest.raises(ValueError, match="coordinate 1 of vertex 2 is not a finite number"):
        headsds.match_topology(egg, sizes, corners, egg.vertex_count, positions)


def test_fit(egg):
    """A head that was turned, scaled, moved and sculpted comes back whole."""
    numpy = pytest.importorskip("numpy")
    head = numpy.asarray(egg.vertices(shape=[1.5, -0.5], expression=[0, 0.5]))
    offsets = numpy.zeros_like(head)
    offsets[40] = [0.01, 0, 0.02]
    turn = numpy.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    mesh = (100 * (head + offsets) @ turn.T + [3, 2, 1]).astype("f4")
    fit = egg.fit(mesh, expression=True)
    assert isinstance(fit, headsds.Fit)
    assert [view.shape for view in (fit.shape, fit.expression, fit.offsets, fit.rotation,
                                    fit.translation)] == [(2,), (3,), head.shape, (3, 3), (3,)]
    found = numpy.asarray(egg.vertices(fit.shape, fit.expression)) + numpy.asarray(fit.offsets)
    again = fit.scale * found @ numpy.asarray(fit.rotation).T + numpy.asarray(fit.translation)
    assert numpy.abs(again - mesh).max() < 1e-5
    assert fit.rms == pytest.approx(numpy.sqrt((numpy.asarray(fit.offsets) ** 2).sum(1).mean()))
    assert fit.scale == pytest.approx(100, rel=0.05)
    assert numpy.abs(numpy.asarray(fit.shape) - [1.5, -0.5]).max() < 0.3
    assert int(numpy.argmax((numpy.asarray(fit.offsets) ** 2).sum(1))) == 40
    assert egg.fit(mesh).expression.tolist() == [0, 0, 0]


def test_fit_refuses(egg):
    numpy = pytest.importorskip("numpy")
    vertices = numpy.asarray(egg.vertices())
    with pytest.raises(ValueError, match=f"3 vertices, expected the model's {egg.vertex_count}"):
        egg.fit(vertices[:3])
    with pytest.raises(ValueError, match="lie in one point or on one line"):
        egg.fit(numpy.ones_like(vertices))
    with pytest.raises(ValueError, match="coordinate 0 of vertex 0 is not a finite number"):
        egg.fit(numpy.full_like(vertices, numpy.nan))
    with pytest.raises(ValueError, match=r"vertices: shape .*expected \(V, 3\)"):
        egg.fit(vertices.ravel())
    with pytest.raises(TypeError):
        egg.fit(vertices, True)
