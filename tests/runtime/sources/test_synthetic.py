from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest

from edge_cns.data.phantom import CLASSES
from edge_cns.errors import BadInputError
from tests.runtime.sources.material import deliveries


@pytest.mark.parametrize("label", CLASSES)
def test_the_phantom_never_ends(label):
    taken = deliveries(f"synthetic://phantom?class={label}&fps=30&size=64&seed=3", 3)
    assert [frame.sequence for frame in taken] == [0, 1, 2]
    assert all(frame.pixels.shape == (64, 64) for frame in taken)
    assert all(frame.region is not None and frame.mm_per_pixel[0] > 0 for frame in taken)
    assert not np.array_equal(taken[0].pixels, taken[1].pixels), "it moves"


def test_a_seed_is_a_film():
    first, again, other = (
        deliveries(f"synthetic://phantom?class=normal&size=64&seed={seed}", 1)[0].pixels for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_live_frames_are_paced():
    started = time.monotonic()
    taken = deliveries("synthetic://phantom?size=64&fps=10", 4, live=True)
    assert 0.28 < time.monotonic() - started < 5
    assert taken[-1].captured_ns - taken[0].captured_ns > 0.28e9


def test_the_cart_plays_twelve_screens_to_and_fro():
    taken = deliveries("synthetic://cart?class=anencephaly&fps=60&seed=1", 30)
    assert {frame.pixels.shape for frame in taken} == {(1080, 1920)}
    assert [frame.sequence for frame in taken] == list(range(30))
    shown = [frame.pixels.tobytes() for frame in taken]
    assert len(set(shown)) == 12
    assert shown[:12] == shown[22:10:-1]
    assert all(one != next_one for one, next_one in pairwise(shown))
    assert shown[22:] == shown[:8]
    assert not taken[0].pixels.flags.writeable


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("synthetic://", "give synthetic://phantom"),
        ("synthetic://[phantom", "give synthetic://phantom"),
        ("synthetic://head", "give synthetic://phantom"),
        ("synthetic://head\nsecond line", "give synthetic://phantom"),
        ("synthetic://phantom?view=3", "with class, fps, seed and size"),
        ("synthetic://cart?size=64", "with class, fps and seed"),
        ("synthetic://phantom?class=nobody", "no class 'nobody'"),
        ("synthetic://cart?class=nobody", "no class 'nobody'"),
        ("synthetic://phantom?class=", "no class ''"),
        ("synthetic://phantom?fps=fast", "fps 'fast' is no number"),
        ("synthetic://phantom?fps=0", "fps is 0"),
        ("synthetic://phantom?fps=nan", "fps is nan"),
        ("synthetic://phantom?fps=inf", "fps is inf"),
        ("synthetic://phantom?fps=30&fps=60", "fps is given twice"),
        ("synthetic://phantom?seed=1.5", "seed '1.5' is no whole number"),
        ("synthetic://phantom?seed=-1", "seed"),
        ("synthetic://phantom?size=63", "size is 63 px; give 64 to 2048"),
        ("synthetic://phantom?size=999999999", "size is 999999999 px"),
    ],
)
def test_what_cannot_be_opened(uri, text):
    with pytest.raises(BadInputError) as caught:
        deliveries(uri, 1)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
