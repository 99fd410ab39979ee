# SPDX-License-Identifier: Apache-2.0
"""Prior.sample on the built-in prior; its numbers are judged in tests/nn."""

import pytest

import headsds

SIZE = {"height": 64, "width": 96}


@pytest.fixture(scope="module")
def built_in():
    return headsds.Prior.load()


def numbers(view):
    return view.cast("B").cast("f").tolist()


def distance(a, b):
    return sum(abs(x - y) for x, y in zip(numbers(a), numbers(b))) / len(numbers(a))


def test_a_picture_is_of_its_seed_and_prompt(built_in):
    picture = built_in.sample("a head", steps=2, seed=4, **SIZE)
    assert (picture.format, picture.shape) == ("f", (64, 96, 3))
    assert 0 <= min(numbers(picture)) < max(numbers(picture)) <= 1
    assert built_in.sample("a head", steps=2, seed=4, **SIZE) == picture
    assert built_in.sample("a head", steps=2, seed=5, **SIZE) != picture
    assert built_in.sample("a bald head", steps=2, seed=4, **SIZE) != picture
    assert built_in.sample("a head", steps=2, seed=4, negative_prompt="a nose", **SIZE) != picture
    assert built_in.sample("a head", steps=2, seed=4, scheduler="euler", **SIZE) != picture
    assert built_in.sample("a head", steps=1).shape == (128, 128, 3)


def test_steps_are_told_with_their_latents(built_in):
    seen = []
    picture = built_in.sample(
        "a head", steps=3, on_progress=lambda *told: seen.append(told), **SIZE
    )
    assert [told[:2] for told in seen] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert all(latents.shape == (1, 4, 8, 12) for _, _, latents in seen)
    assert distance(built_in.decode_latents(seen[-1][2]), picture) == 0
    again = built_in.sample("a head", steps=3, seed=9, noise=seen[0][2], **SIZE)
    assert again == picture


def test_a_picture_to_begin_with_is_kept_by_little_strength(built_in):
    start = built_in.sample("a head", steps=4, seed=1, **SIZE)
    near, far = (
        built_in.sample("a head", image=start, strength=s, steps=10, seed=2) for s in (0.1, 1)
    )
    assert near.shape == (64, 96, 3)
    assert distance(start, near) < 0.7 * distance(start, far)


def test_an_exception_ends_it(built_in):
    seen = []

    def stop(step, steps, latents):
        seen.append(step)
        if step == 2:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        built_in.sample("a head", steps=50, on_progress=stop, **SIZE)
    assert seen == [0, 1, 2]
    assert built_in.sample("a head", steps=1, **SIZE).shape == (64, 96, 3)


@pytest.mark.parametrize(
    "wrong, error, message",
    [
        ({"scheduler": "heun"}, ValueError, 'scheduler is "heun", expected ddim'),
        ({"steps": 0}, ValueError, "positive"),
        ({"steps": 1001}, ValueError, "steps is 1001, expected 1 to 1000"),
        ({"guidance_scale": float("nan")}, ValueError, "positive"),
        ({"strength": 1.5}, ValueError, "strength is 1.5"),
        ({"width": 60}, ValueError, "width: 60, expected a multiple of 8"),
        ({"height": 0}, ValueError, "height: 0"),
        ({"noise": memoryview(bytes(256)).cast("f", (1, 4, 4, 4))}, ValueError, "noise: axis 2"),
        ({"image": memoryview(bytes(768)).cast("f", (8, 8, 3)), "width": 16}, ValueError,
         "image: 8x8 pixels, expected 16x8"),
        ({"image": memoryview(bytes(432)).cast("f", (6, 6, 3))}, ValueError, "multiples of 8"),
        ({"on_progress": 3}, TypeError, "on_progress"),
    ],
)
def test_bad_arguments(built_in, wrong, error, message):
    with pytest.raises(error, match=message):
        built_in.sample("a head", **wrong)
