# SPDX-License-Identifier: Apache-2.0
"""headsds.Clip on a small reference model; its numbers are judged in tests/nn."""

import pytest

import headsds
from conftest import shared


@pytest.fixture(scope="module")
def clip():
    return headsds.Clip.load(shared("parity/tiny-clip"))


def picture(*shape, value=lambda i: (i * 37 % 101) / 100):
    count = 1
    for extent in shape:
        count *= extent
    view = memoryview(bytearray(4 * count)).cast("f")
    for i in range(count):
        view[i] = value(i)
    return view.cast("B").cast("f", shape)


def flat(view):
    return view.cast("B").cast("f").tolist()


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_info(clip):
    assert (clip.embedding_width, clip.image_size) == (24, 32)
    assert clip.logit_scale == pytest.approx(14.28, abs=0.01)
    assert clip.path.endswith("tiny-clip") and clip.path in repr(clip)


def test_similarity_is_of_the_embeddings(clip):
    images, texts = picture(2, 50, 33, 3), ["a cat", "", "zombie"]
    a, b = clip.embed_images(images), clip.embed_texts(texts)
    assert (a.format, a.shape, b.shape) == ("f", (2, 24), (3, 24))
    found = clip.similarity(images, texts)
    assert (found.format, found.shape) == ("f", (2, 3))
    a, b = flat(a), flat(b)
    for i in range(2):
        assert dot(a[24 * i:24 * i + 24], a[24 * i:24 * i + 24]) == pytest.approx(1, abs=1e-5)
        for k in range(3):
            expected = dot(a[24 * i:24 * i + 24], b[24 * k:24 * k + 24])
            assert found[i, k] == pytest.approx(expected, abs=1e-6)


def test_a_step_along_the_gradient_agrees_more(clip):
    images = picture(1, 40, 40, 3, value=lambda i: 0.3 + (i * 37 % 101) / 250)
    upstream = memoryview(bytearray(8)).cast("f", (1, 2))
    upstream[0, 0] = 1
    d = clip.similarity_gradient(images=images, texts=["a cat", "zombie"], upstream=upstream)
    assert (d.format, d.shape) == ("f", (1, 40, 40, 3))
    x, dx = flat(images), flat(d)
    step = 0.001 / max(map(abs, dx))
    moved = picture(1, 40, 40, 3, value=lambda i: x[i] + step * dx[i])
    gain = clip.similarity(moved, ["a cat"])[0, 0] - clip.similarity(images, ["a cat"])[0, 0]
    assert gain == pytest.approx(step * dot(dx, dx), rel=0.05)


# By dtype: the largest difference of a cosine from float32's. A weight keeps 8 bits of bfloat16 and
# 11 of float16; sums are float32.
ALLOWED = {"float32": 0, "bfloat16": 0.01, "float16": 0.001}


@pytest.mark.parametrize("dtype", ALLOWED)
def test_dtypes(dtype):
    images, texts, upstream = picture(2, 50, 33, 3), ["a cat", "zombie"], picture(2, 2)
    exact = headsds.Clip.load(shared("parity/tiny-clip"), device="cpu", dtype="float32")
    clip = headsds.Clip.load(shared("parity/tiny-clip"), device="cpu", dtype=dtype)
    assert (exact.device, exact.dtype, clip.device, clip.dtype) == ("cpu", "float32", "cpu", dtype)
    a, b = (flat(c.similarity(images, texts)) for c in (exact, clip))
    far = max(abs(x - y) for x, y in zip(a, b, strict=True))
    assert far == 0 if dtype == "float32" else 1e-6 < far < ALLOWED[dtype]
    a, b = (flat(c.similarity_gradient(images, texts, upstream)) for c in (exact, clip))
    far = dot([x - y for x, y in zip(a, b, strict=True)], [x - y for x, y in zip(a, b, strict=True)])
    assert far <= (5 * ALLOWED[dtype]) ** 2 * dot(a, a)


def test_auto_is_what_a_small_network_runs_best_with(clip):
    assert (clip.device in ("cpu", "cuda"), clip.dtype) == (True, "float32")


def test_devices_and_dtypes_that_are_none(clip):
    """In the words of Prior.load."""
    folder, prior = shared("parity/tiny-clip"), shared("parity/tiny-sd15")
    wrong = [{"device": name} for name in ("gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:0 ", "CPU", "")]
    wrong += [{"dtype": name} for name in ("int8", "FLOAT32", "half", "")]
    if clip.device == "cpu":
        wrong += [{"device": "cuda"}, {"device": "cuda:7"}]
    for choice in wrong:
        with pytest.raises(ValueError) as mine:
            headsds.Clip.load(folder, **choice)
        with pytest.raises(ValueError) as other:
            headsds.Prior.load(prior, **choice)
        assert str(mine.value) == str(other.value)
        assert f'"{next(iter(choice.values()))}"' in str(mine.value)
    with pytest.raises(TypeError):
        headsds.Clip.load(folder, "cpu")


def test_errors(clip, tmp_path):
    image, upstream = picture(1, 8, 8, 3), picture(1, 1)
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder, expected a folder as"):
        headsds.Clip.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="config.json"):
        headsds.Clip.load(path=tmp_path)
    with pytest.raises(headsds.FormatError, match='"text_config" is absent, expected an object'):
        headsds.Clip.load(shared("parity/tiny-sd15/text_encoder"))
    with pytest.raises(ValueError, match="texts: 0 of them, expected 1 to"):
        clip.embed_texts([])
    with pytest.raises(ValueError, match="texts: 0 of them, expected 1 to"):
        clip.similarity(image, [])
    with pytest.raises(TypeError, match="texts: <class 'str'>, expected a list of str"):
        clip.similarity(image, "a cat")
    with pytest.raises(ValueError, match=r"images: shape \(8, 8\), expected \(N, H, W, 3\)"):
        clip.embed_images(picture(8, 8))
    with pytest.raises(TypeError, match="images: an array of type 'B', expected floats in .0, 1.; bytes become those when divided by 255"):
        clip.embed_images(memoryview(bytes(192)).cast("B", (1, 8, 8, 3)))
    with pytest.raises(ValueError, match=r"picture 0, row 0, column 0: nan, .* in \[0, 1\]"):
        clip.embed_images(picture(1, 8, 8, 3, value=lambda i: float("nan")))
    with pytest.raises(ValueError, match="row 0, column 0: 2, expected"):
        clip.similarity(picture(1, 8, 8, 3, value=lambda i: i), ["a"])
    with pytest.raises(ValueError, match="upstream: axis 1 has 1 entries, expected 2"):
        clip.similarity_gradient(image, ["a", "b"], upstream)
    with pytest.raises(ValueError, match="upstream: of picture 0 and text 0: nan"):
        clip.similarity_gradient(image, ["a"], picture(1, 1, value=lambda i: float("nan")))
