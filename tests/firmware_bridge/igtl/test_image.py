"""Every image that a frame can be made of, pixel by pixel, and why of the others none can."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_cns.errors import BadInputError
from firmware_bridge.igtl.image import IMAGE_SIZE, parse_image, picture
from tests.firmware_bridge.igtl.material import grey, image, image_message, read_all


def taken(pixels: np.ndarray, **options):
    (message,) = read_all(image_message(pixels, **options))
    assert message.fault == ""
    return message.picture


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2"])
@pytest.mark.parametrize("components", [1, 3])
def test_pixels_arrive_as_they_were(dtype, order, components):
    values = np.random.default_rng(1).integers(0, 200, (64, 80, components)) * (1 if dtype == "u1" else 130)
    sent = np.squeeze(values).astype(np.dtype(dtype).newbyteorder(order))
    got = taken(sent)
    expected = sent if components == 1 else sent[..., ::-1]
    np.testing.assert_array_equal(got.pixels, expected)
    assert got.pixels.dtype == (np.uint8 if dtype == "u1" else np.uint16)
    assert got.pixels.dtype.isnative
    assert not got.pixels.flags.writeable
    assert got.bits_stored == (15 if dtype == "i2" else None)
    assert got.mm_per_pixel == (0.5, 0.25)


@given(
    st.integers(64, 90), st.integers(64, 90), st.sampled_from(["u1", "<u2", ">u2"]), st.booleans(), st.integers(0, 99)
)
def test_any_size_comes_back(height, width, dtype, colour, seed):
    shape = (height, width, 3) if colour else (height, width)
    sent = np.random.default_rng(seed).integers(0, 256 ** np.dtype(dtype).itemsize, shape).astype(dtype)
    got = taken(sent).pixels
    np.testing.assert_array_equal(got[..., ::-1] if colour else got, sent)


def test_spacing_is_the_length_of_the_vectors():
    assert taken(grey(), spacing=(0.3, 0.4, 0.0)).mm_per_pixel == pytest.approx((0.3, 0.4))
    for none in ((0.0, 0.4, 1.0), (0.3, float("nan"), 1.0), (0.3, float("inf"), 1.0)):
        assert taken(grey(), spacing=none).mm_per_pixel is None


@pytest.mark.parametrize(
    ("size", "spacing"), [((80, 64, 1), (0.5, 0.25)), ((1, 80, 64), (0.25, 1.0)), ((80, 1, 64), (0.5, 1.0))]
)
def test_a_plane_may_lie_in_any_direction(size, spacing):
    got = taken(grey(), size=size, extent=size)
    np.testing.assert_array_equal(got.pixels, grey())
    assert got.mm_per_pixel == spacing


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"components": 4}, "4 components; send 1 (grey) or 3 (RGB)"),
        ({"scalar": 10}, "image is float32; send uint8"),
        ({"scalar": 2}, "image is int8; send uint8"),
        ({"scalar": 77}, "of scalar type 77"),
        ({"size": (80, 64, 30)}, "a volume of 80x64x30; send its slices one at a time"),
        ({"size": (80, 63, 1)}, "image is 80x63 px; both sides must be 64 to 8192 px"),
        ({"size": (80, 9000, 1)}, "image is 80x9000 px"),
        ({"size": (0, 0, 0)}, "a volume of 0x0x0"),
        ({"size": (80, 65, 1), "at": (0, 2, 0)}, "lies outside its image"),
        ({"extent": (80, 60, 1), "size": (80, 64, 1)}, "image of 80x60 px needs 4800 bytes, 5120 came"),
    ],
)
def test_why_no_frame_can_be_made(options, says):
    content = image(grey(), **options)
    with pytest.raises(BadInputError) as caught:
        parse_image(content[:IMAGE_SIZE], len(content) - IMAGE_SIZE)
    assert says in str(caught.value)
    (message,) = read_all(image_message(grey(), **options))
    assert (message.fault, message.picture, message.sound) == (str(caught.value), None, True)


def test_pixels_below_zero_are_none():
    pixels = grey().astype(np.int16)
    pixels[3, 4] = -1
    (message,) = read_all(image_message(pixels))
    assert message.fault == "image is int16 with pixels below zero; send uint8 or uint16"


def test_grey_is_not_copied():
    content = image(grey())
    part = parse_image(content[:IMAGE_SIZE], len(content) - IMAGE_SIZE)
    pixels = part.empty()
    assert np.shares_memory(picture(pixels, part).pixels, pixels)


@given(st.binary(min_size=IMAGE_SIZE, max_size=IMAGE_SIZE), st.integers(0, 10**6))
def test_any_header_is_read_or_refused(data, size):
    try:
        part = parse_image(data, size)
    except BadInputError:
        return
    assert part.bytes == size


def test_pyigtl_images():
    pyigtl = pytest.importorskip("pyigtl")
    matrix = np.diag([0.5, 0.25, 1.0, 1.0])
    colour = np.random.default_rng(3).integers(0, 256, (64, 80, 3), np.uint8)
    for sent, expected in (
        (grey()[np.newaxis], grey()),
        (grey(), grey()),  # which it sends as a plane of i = 0
        (grey().astype(np.uint16)[np.newaxis] * 200, grey().astype(np.uint16) * 200),
        (colour[np.newaxis], colour[..., ::-1]),
    ):
        message = pyigtl.ImageMessage(sent, matrix, device_name="Probe")
        (got,) = read_all(message.pack())
        assert (got.fault, got.sound) == ("", True)
        np.testing.assert_array_equal(got.picture.pixels, expected)


def test_pyigtl_reads_the_same_image_out_of_our_test_material():
    pyigtl = pytest.importorskip("pyigtl")
    data, message = image_message(grey()), pyigtl.ImageMessage()
    message.unpack(pyigtl.messages.MessageBase.parse_header(data[:58]), data[58:])
    np.testing.assert_array_equal(message.image[0], grey())
