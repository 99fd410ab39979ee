# SPDX-License-Identifier: Apache-2.0
"""HeadModel.vertices of several heads, and vertices_gradient."""

import pytest

import headsds
import toy

np = pytest.importorskip("numpy")

S, E, J, V = toy.SHAPES, len(toy.EXPRESSIONS), len(toy.JOINTS), toy.VERTICES


def draw(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype("f4")


def test_each_head_is_what_it_is_alone(egg):
    shape, expression, pose = draw(11, S), draw(11, E), draw(11, J, 3)
    together = np.asarray(egg.vertices(shape, expression, pose))
    assert together.shape == (11, V, 3) and together.dtype == np.float32
    for i, head in enumerate(together):
        assert (head == np.asarray(egg.vertices(shape[i], expression[i], pose[i]))).all()


def test_what_heads_share(egg):
    shape, pose = draw(3, 1), draw(J, 3)
    together = np.asarray(egg.vertices(shape, [0.5], pose.ravel()))
    for i, head in enumerate(together):
        assert (head == np.asarray(egg.vertices(shape[i], [0.5], pose))).all()
    assert egg.vertices(shape[:1]).shape == (1, V, 3)
    assert egg.vertices(shape[:0]).shape == (0, V, 3)


@pytest.mark.parametrize("heads", [(), (1,), (5,)], ids=str)
def test_gradient_is_that_of_differences(egg, heads):
    upstream, inputs = draw(*heads, V, 3), [draw(*heads, S), draw(*heads, E), draw(*heads, J, 3)]
    gradients = egg.vertices_gradient(upstream, *inputs)
    for k, gradient in enumerate(map(np.asarray, gradients)):
        assert gradient.shape == inputs[k].shape and gradient.dtype == np.float32
        direction = draw(*inputs[k].shape)
        ends = [list(inputs), list(inputs)]
        for end, sign in zip(ends, (1, -1)):
            end[k] = inputs[k] + np.float32(sign / 256) * direction
        above, below = (np.asarray(egg.vertices(*end)).astype(float) for end in ends)
        expected = ((above - below) * 128 * upstream).reshape(-1, 3 * V).sum(1)
        got = (gradient.astype(float) * direction).reshape(len(expected), -1).sum(1)
        assert got == pytest.approx(expected, rel=2e-3, abs=2e-4)


def test_gradient_at_what_is_left_out(egg):
    upstream = draw(2, V, 3)
    few = egg.vertices_gradient(upstream, shape=draw(1), pose=draw(3))
    whole = egg.vertices_gradient(upstream, np.append(draw(1), 0), np.zeros(E), np.append(draw(3), [0] * 3))
    for a, b, shape in zip(few, whole, [(2, S), (2, E), (2, J, 3)]):
        assert a.shape == shape and (np.asarray(a) == np.asarray(b)).all()
    mine = egg.vertices_gradient(upstream[1], shape=draw(1), pose=draw(3))
    assert (np.asarray(few[0])[1] == np.asarray(mine[0])).all() and mine[2].shape == (J, 3)


@pytest.mark.parametrize("arguments, message", [
    ({"shape": draw(2, S), "expression": draw(3, E)}, "expression: 3 heads, expected 2 as in"),
    ({"shape": draw(2, S + 1)}, "head 0: shape has 3 numbers, expected at most the model's 2"),
    ({"shape": draw(2, S, 1)}, r"shape: shape \(2, 2, 1\), expected \(S,\)"),
    ({"pose": draw(2, J, 2)}, r"pose: shape \(2, 2, 2\), expected \(N, J, 3\)"),
    ({"pose": draw(2, J + 1, 3)}, "head 0: pose has 9 numbers"),
    ({"shape": np.float32([[0, 0], [0, np.nan]])}, r"head 1: shape\[1\] is nan"),
])
def test_wrong_batches(egg, arguments, message):
    with pytest.raises(ValueError, match=message):
        egg.vertices(**arguments)


@pytest.mark.parametrize("upstream, message", [
    (draw(V, 2), r"upstream: shape \(\d+, 2\), expected \(V, 3\)"),
    (draw(V + 1, 3), f"upstream: axis 0 has {V + 1} entries, expected {V}"),
    (draw(3, V, 3), "upstream: 3 heads, expected 2 as in the arguments before it"),
    (draw(2, V, 3) * np.float32(np.inf), r"upstream\[0,0,0\] is -?inf, expected a finite number"),
])
def test_wrong_upstreams(egg, upstream, message):
    with pytest.raises(ValueError, match=message):
        egg.vertices_gradient(upstream, draw(2, S) if upstream.ndim == 3 else None)


def test_one_upstream_for_two_heads(egg):
    with pytest.raises(ValueError, match=rf"upstream: \({V}, 3\), expected \(2, {V}, 3\) for 2 heads"):
        egg.vertices_gradient(draw(V, 3), draw(2, S))
    with pytest.raises(TypeError, match="upstream"):
        egg.vertices_gradient(None)


@pytest.mark.parametrize("kind", ["?", "b", "B", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8"])
def test_any_type_of_numbers_is_taken_for_floats(egg, kind):
    signed = np.dtype(kind).kind in "if"
    values = [1, 0, -3 if signed else 1][:egg.shape_count]
    array = np.array(values, kind)
    assert egg.vertices(array) == egg.vertices(values)
    assert np.array_equal(np.asarray(egg.vertices(np.stack([array, array])))[1], egg.vertices(values))
    odd = np.frombuffer(b"\0" + array.tobytes(), array.dtype, offset=1)    # not aligned
    assert egg.vertices(odd) == egg.vertices(values)
    corners = np.arange(3 * egg.vertex_count).reshape(-1, 3) % 2
    as_float = headsds.Head(egg, offsets=corners.astype("f4")).vertices()
    assert headsds.Head(egg, offsets=corners.astype(kind)).vertices() == as_float


def test_numbers_at_the_ends_of_their_types(egg):
    for kind, value in ("<u8", 2**64 - 1), ("<i8", -2**63), ("<u4", 2**32 - 1), ("<f2", 2**-24):
        upstream = np.zeros((V, 3), kind)
        upstream[3, 1] = value
        found, wanted = (egg.vertices_gradient(x)[0] for x in (upstream, upstream.astype("f4")))
        assert found == wanted and any(found.tolist()), kind


@pytest.mark.parametrize("kind", ["<c8", ">f4", ">i4", "<M8[s]", "S4", "f4,f4"])
def test_what_is_no_plain_number_is_refused(egg, kind):
    with pytest.raises((TypeError, ValueError)):
        egg.vertices(np.zeros(2, kind))


def test_numbers_of_numpy_are_numbers(egg):
    head = headsds.Head(egg)
    assert head.render(np.int64(30), np.int8(10), size=np.int32(8), light=np.int64(1)) == \
        head.render(30, 10, size=8, light=1)
    assert head.render(np.array([0, 30]), size=8) == head.render([0, 30], size=8)
    assert headsds.cameras("faceg2e-geometry", 2, seed=np.uint64(7)) == headsds.cameras("faceg2e-geometry", 2, seed=7)
    with pytest.raises(TypeError, match="integer"):
        headsds.cameras("faceg2e-geometry", 2, seed=1.5)
