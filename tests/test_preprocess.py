"""THE way from a frame to the tensor: the same on four paths, without aliasing, whatever the file or the size."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_cns.bundle import read_arrays, read_bundle, write_arrays
from edge_cns.contract import ClassDefinition, Contract, InputSpec, IntendedUse
from edge_cns.data.images import read_image
from edge_cns.data.manifest import read_manifest
from edge_cns.frames import MAX_SIDE, MIN_SIDE, Frame, Region
from edge_cns.preprocess import as_float, fit_within, image, quantise_into, resize
from edge_cns.runtime.classifier import load
from edge_cns.training.dataset import load_images

DATA = os.environ.get("EDGE_CNS_DATA_DIR")
SPEC = InputSpec(224, 224)
RNG = np.random.default_rng(0)


def speckle(height: int, width: int) -> np.ndarray:
    return cv2.GaussianBlur(RNG.integers(0, 256, (height, width), dtype=np.uint8), (0, 0), 1.2)


# One definition


FILES = [("png", 8), ("jpg", 8), ("bmp", 8), ("tiff", 8), ("png", 16), ("tiff", 16)]  # suffix, bits
CASES = [(suffix, bits, colour, (256, 173)) for suffix, bits in FILES for colour in (False, True)]
CASES += [("png", 8, False, (64, 64)), ("jpg", 8, True, (64, 64)), ("tiff", 16, False, (900, 1000))]
CASES += [("png", 8, True, (900, 1000)), ("bmp", 8, False, (2160, 3840)), ("tiff", 16, False, (2160, 3840))]


@pytest.mark.parametrize(("suffix", "depth", "colour", "size"), CASES)
def test_four_paths_give_one_tensor(tiny_bundle, tmp_path, suffix, depth, colour, size):
    pixels = speckle(*size)
    if depth == 16:
        pixels = pixels.astype(np.uint16) * 256 + RNG.integers(0, 256, size, dtype=np.uint16)
    if colour:
        pixels = np.dstack([pixels, pixels // 2, pixels // 3])
    path = tmp_path / f"frame.{suffix}"
    path.write_bytes(cv2.imencode(path.suffix, pixels, [cv2.IMWRITE_PNG_COMPRESSION, 0])[1].tobytes())
    (tmp_path / "labels.csv").write_text(f"path,label,patient_id\n{path.name},normal,a\n")
    bundle = read_bundle(tiny_bundle)

    training = load_images(read_manifest(tmp_path / "labels.csv").rows, bundle.contract, "reading").images
    calibration = read_arrays(write_arrays({"images": training}), "calibration.npz")["images"]
    evaluation = image(read_image(path), bundle.contract.input)
    with load(tiny_bundle) as classifier:
        classifier.preprocess(Frame(np.full((64, 64), 255, np.uint8)))  # leaves nothing behind
        classifier.preprocess(read_image(path))
        runtime = classifier.backend.input()[0, ..., 0].copy()

    assert training.shape == (1, 64, 64)
    assert np.array_equal(training[0], evaluation)
    assert np.array_equal(calibration[0], evaluation)
    assert np.array_equal(runtime.view(np.uint8) ^ 0x80, evaluation)
    assert np.array_equal(runtime.astype(int), evaluation.astype(int) - 128)


def test_int8_and_float_are_one_value_for_all_256():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    tensor = np.zeros((1, 16, 16, 1), np.int8)
    quantise_into(levels, tensor)
    assert np.array_equal(tensor[0, ..., 0].astype(int), levels.astype(int) - 128)
    real = (tensor.astype(np.float64) + 128) / 255
    floats = as_float(levels)
    assert floats.shape == (16, 16, 1)
    assert floats.dtype == np.float32
    assert np.array_equal(floats, real[0].astype(np.float32))
    assert (floats.min(), floats.max()) == (0, 1)


# One picture, however it comes


def test_depth_and_colour_do_not_matter(phantom_pixels):
    picture = cv2.resize(phantom_pixels, (1000, 900), interpolation=cv2.INTER_CUBIC)
    plain = image(Frame(picture), SPEC)
    wide = picture.astype(np.uint16)
    for same in (
        Frame(cv2.merge([picture] * 3)),
        Frame(wide * 256),
        Frame(wide * 257),
        Frame(wide * 16, bits_stored=12),
        Frame(wide, bits_stored=8),
        Frame(np.dstack([wide * 256] * 3)),
    ):
        assert np.array_equal(image(same, SPEC), plain)


def test_memory_layout_does_not_matter():
    bgr = np.dstack([speckle(300, 400) for _ in range(3)])
    grey = bgr[..., 0].copy()
    plain, colour = image(Frame(grey), SPEC), image(Frame(bgr), SPEC)
    doubled = np.repeat(np.repeat(grey, 2, axis=0), 2, axis=1)
    views = [
        bgr[..., 0],
        doubled[::2, ::2],
        np.asfortranarray(grey),
        np.ascontiguousarray(grey[::-1, ::-1])[::-1, ::-1],
        np.pad(grey, 17)[17:-17, 17:-17],
    ]
    for view in views:
        assert np.array_equal(image(Frame(view), SPEC), plain)
    assert np.array_equal(image(Frame(np.ascontiguousarray(bgr[..., ::-1])[..., ::-1]), SPEC), colour)
    assert np.array_equal(image(Frame(np.asfortranarray(bgr)), SPEC), colour)


def test_the_frame_is_not_written_to():
    picture = speckle(300, 400)
    picture.flags.writeable = False
    for spec in (SPEC, InputSpec(64, 96, "whole", letterbox=False)):
        image(Frame(picture), spec)


@pytest.mark.parametrize("letterbox", [True, False])
def test_a_reused_image_keeps_nothing_of_the_former_frame(letterbox):
    spec = InputSpec(96, 128, "whole", letterbox=letterbox)
    out = np.empty((96, 128), np.uint8)
    shapes = [(64, 500), (500, 64), (300, 400), (64, 64), (1080, 1920)]
    for shape in shapes + shapes[::-1]:
        frame = Frame(speckle(*shape))
        assert image(frame, spec, out) is out
        assert np.array_equal(out, image(frame, spec))
        out[:] = 255


def test_outside_the_region_nothing_counts():
    picture = speckle(400, 600)
    region = Region(101, 53, 333, 222)
    other = np.full_like(picture, 255)
    other[53:275, 101:434] = picture[53:275, 101:434]
    first, second = (image(Frame(p, region=region), SPEC) for p in (picture, other))
    assert np.array_equal(first, second)
    assert np.array_equal(first, image(Frame(picture[53:275, 101:434].copy()), InputSpec(224, 224, "whole")))


# Letterbox


@given(st.integers(1, MAX_SIDE), st.integers(1, MAX_SIDE), st.integers(32, 1024), st.integers(32, 1024))
def test_letterbox_geometry(width, height, tensor_width, tensor_height):
    x, y, w, h = fit_within(width, height, InputSpec(tensor_height, tensor_width))
    assert x >= 0
    assert y >= 0
    assert 1 <= w <= tensor_width
    assert 1 <= h <= tensor_height
    assert w == tensor_width or h == tensor_height, "one side is filled"
    scale = min(tensor_width / width, tensor_height / height)
    assert abs(w - max(1, width * scale)) <= 1, "the aspect is kept to a pixel"
    assert abs(h - max(1, height * scale)) <= 1
    assert abs((tensor_width - w) - 2 * x) <= 1, "it is centred"
    assert abs((tensor_height - h) - 2 * y) <= 1
    assert fit_within(width, height, InputSpec(tensor_height, tensor_width, letterbox=False)) == (
        0,
        0,
        tensor_width,
        tensor_height,
    )


@given(st.integers(64, 700), st.integers(64, 700), st.integers(32, 300), st.integers(32, 300))
def test_padding_is_black_and_the_picture_fills_the_rest(width, height, tensor_width, tensor_height):
    spec = InputSpec(tensor_height, tensor_width, "whole")
    out = image(
        Frame(np.full((height, width), 200, np.uint8)), spec, np.full((tensor_height, tensor_width), 7, np.uint8)
    )
    x, y, w, h = fit_within(width, height, spec)
    assert (out[y : y + h, x : x + w] == 200).all()
    assert int(out.sum()) == 200 * w * h


@pytest.mark.parametrize("shape", [(64, 64), (64, 8192), (8192, 64), (2160, 3840), (4321, 8191)])
@pytest.mark.parametrize("spec", [SPEC, InputSpec(32, 1024), InputSpec(96, 96, "whole", letterbox=False)], ids=str)
def test_any_size(shape, spec):
    out = image(Frame(np.full(shape, 77, np.uint8)), spec)
    assert out.shape == (spec.height, spec.width)
    assert set(np.unique(out)) <= {0, 77}
    assert (out == 77).any()


@pytest.mark.parametrize("side", [230, 513, 901, 1791, 1999, 2671, 3563, 4001])
def test_an_edge_lands_where_it_should(side):
    """No shift at the far end, whatever the reduction: the white part keeps its share of the picture."""
    shares = []
    for black in range(side - 41, side - 1):
        row = np.zeros((side, side), np.uint8)
        row[:, black:] = 255
        out = np.empty((224, 224), np.uint8)
        resize(row, out)
        shares.append(out[100].sum() / 255 - (side - black) * 224 / side)
    assert abs(np.mean(shares)) < 0.03


# No aliasing


@pytest.mark.parametrize("letterbox", [True, False])
def test_fine_stripes_turn_grey(letterbox):
    """Stripes of one pixel are beyond what the tensor can show: aliased, they would come back as broad bands."""
    spec = InputSpec(224, 224, "whole", letterbox=letterbox)
    for shape in ((1000, 1000), (900, 1600), (2160, 3840)):
        for axis in (0, 1):
            stripes = np.zeros(shape, np.uint8)
            stripes[(slice(None),) * axis + (slice(None, None, 2),)] = 254
            out = image(Frame(stripes), spec)
            x, y, w, h = fit_within(shape[1], shape[0], spec)
            inner = out[y : y + h, x : x + w].astype(float)
            assert np.abs(cv2.blur(inner, (9, 9))[9:-9, 9:-9] - 127).max() < 16, (shape, axis)


def test_a_side_that_shrinks_while_the_other_grows_is_averaged():
    stripes = np.zeros((100, 2000), np.uint8)
    stripes[:, ::2] = 254
    out = image(Frame(stripes), InputSpec(224, 224, "whole", letterbox=False))
    assert np.abs(out.astype(int) - 127).max() <= 16


def against_area(picture: np.ndarray, width: int, height: int) -> tuple[float, int]:
    """Mean and largest difference from INTER_AREA, grey levels."""
    out = np.empty((height, width), np.uint8)
    resize(picture, out)
    area = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    difference = np.abs(out.astype(int) - area)
    return float(difference.mean()), int(difference.max())


SIZES = [(256, 256), (500, 500), (549, 549), (640, 480), (700, 800), (800, 700), (880, 880), (900, 1000), (1000, 900)]
SIZES += [(1440, 1080), (1700, 1700), (1920, 1080), (2001, 1501), (3840, 2160)]


@pytest.fixture(scope="module")
def real_frames() -> list[np.ndarray]:
    if DATA is None:
        pytest.skip("EDGE_CNS_DATA_DIR is unset: no real frames")
    paths = [p for name in ("fetal_planes", "hc18") for p in sorted((Path(DATA) / name / "images").iterdir())[::50]]
    frames = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths]
    assert len(frames) >= 40
    return frames


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_near_inter_area_on_real_frames(real_frames, size):
    _, _, width, height = fit_within(*size, SPEC)
    found = [
        against_area(cv2.resize(f, size, interpolation=cv2.INTER_CUBIC), width, height)
        for f in (real_frames if size[0] < 1400 else real_frames[::4])
    ]
    assert np.mean([mean for mean, _ in found]) <= 0.5
    assert max(largest for _, largest in found) <= 8


@pytest.mark.parametrize("reduction", [1.14, 1.9, 2.2, 2.45, 3.0, 3.39, 3.41, 4.0, 4.46, 5.0, 5.5])
def test_near_inter_area_at_the_sharpness_of_the_file(real_frames, reduction):
    """Frames as they are, not enlarged: every pixel differs from the next, as on a screen that the machine drew."""
    found = [against_area(f, round(f.shape[1] / reduction), round(f.shape[0] / reduction)) for f in real_frames]
    assert np.mean([mean for mean, _ in found]) <= 0.5
    assert max(largest for _, largest in found) <= 8


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_near_inter_area_on_phantom_frames(phantom_pixels, size):
    _, _, width, height = fit_within(*size, SPEC)
    mean, largest = against_area(cv2.resize(phantom_pixels, size, interpolation=cv2.INTER_CUBIC), width, height)
    assert mean <= 0.5
    assert largest <= 8


def test_enlarging_is_bilinear():
    small = speckle(100, 120)
    out = np.empty((200, 240), np.uint8)
    resize(small, out)
    assert np.array_equal(out, cv2.resize(small, (240, 200), interpolation=cv2.INTER_LINEAR))


def test_the_contract_decides_the_shape():
    contract = Contract((ClassDefinition("a"), ClassDefinition("b")), InputSpec(96, 160), IntendedUse("x"))
    assert image(Frame(speckle(MIN_SIDE, MIN_SIDE)), contract.input).shape == (96, 160)
