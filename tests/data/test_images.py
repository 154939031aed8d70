from __future__ import annotations

import struct
import threading
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_cns.data.headers import read_header
from edge_cns.data.images import decode_image, read_image
from edge_cns.errors import BadInputError

GREY = np.tile(np.arange(80, dtype=np.uint8) * 3, (70, 1))
COLOUR = np.dstack([GREY, GREY[:, ::-1], 255 - GREY])
DEEP = GREY.astype(np.uint16) * 257


def encode(suffix, pixels, *options):
    return cv2.imencode(suffix, pixels, list(options))[1].tobytes()


def png(width, height, *, depth=8, kind=0, raw=None):
    """A PNG made by hand: for sizes and kinds that OpenCV does not write."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    data = zlib.compress(raw if raw is not None else b"")
    palette = chunk(b"PLTE", bytes([10, 20, 30, 200, 210, 220])) if kind == 3 else b""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(tags, following=0):
    """A TIFF directory made by hand: {tag: LONG value}."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", following)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_lossless_files_give_their_pixels(tmp_path, suffix, pixels):
    path = tmp_path / f"frame{suffix}"
    path.write_bytes(encode(suffix, pixels))
    frame = read_image(path, sequence=5)
    np.testing.assert_array_equal(frame.pixels, pixels)
    assert frame.pixels.dtype == np.uint8
    assert (frame.sequence, frame.captured_ns, frame.region, frame.mm_per_pixel) == (5, 0, None, None)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("pixels", [DEEP, np.dstack([DEEP, DEEP[:, ::-1], DEEP])], ids=["grey", "colour"])
def test_sixteen_bits_stay_sixteen_bits(suffix, pixels):
    frame = decode_image(encode(suffix, pixels), "x")
    assert frame.pixels.dtype == np.uint16
    np.testing.assert_array_equal(frame.pixels, pixels)


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
def test_jpeg(options):
    data = encode(".jpg", GREY, cv2.IMWRITE_JPEG_QUALITY, 95, *options)
    frame = decode_image(data, "x")
    assert frame.pixels.shape == GREY.shape
    assert np.abs(frame.pixels.astype(int) - GREY).mean() < 2
    assert read_header(data).format == "jpeg"


def test_alpha_is_dropped_and_a_palette_is_looked_up():
    bgra = np.dstack([COLOUR, np.full(GREY.shape, 9, np.uint8)])
    np.testing.assert_array_equal(decode_image(encode(".png", bgra), "x").pixels, COLOUR)
    index = np.arange(64 * 64).reshape(64, 64) % 2
    raw = b"".join(b"\0" + bytes(row.tolist()) for row in index)
    frame = decode_image(png(64, 64, kind=3, raw=raw), "x")
    np.testing.assert_array_equal(frame.pixels[..., ::-1], np.array([[10, 20, 30], [200, 210, 220]])[index])


def test_exif_rotation_is_ignored():
    data = encode(".jpg", COLOUR)
    exif = b"Exif\0\0" + b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x0112, 3, 1, 6, 0)
    turned = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (80, 70, 3)  # OpenCV would turn it
    np.testing.assert_array_equal(decode_image(turned, "x").pixels, decode_image(data, "x").pixels)


def test_header_of_a_top_down_and_an_os2_bmp():
    data = bytearray(encode(".bmp", GREY))
    struct.pack_into("<i", data, 22, -70)
    assert (read_header(bytes(data)).width, read_header(bytes(data)).height) == (80, 70)
    assert decode_image(bytes(data), "x").pixels.shape == (70, 80)
    header = read_header(b"BM" + bytes(12) + struct.pack("<IHH", 12, 90, 91))
    assert (header.width, header.height) == (90, 91)


def test_big_endian_tiff_header():
    entries = struct.pack(">HHIHH", 256, 3, 1, 300, 0) + struct.pack(">HHII", 257, 4, 1, 200)
    header = read_header(b"MM\0*" + struct.pack(">IH", 8, 2) + entries + bytes(4))
    assert (header.width, header.height) == (300, 200)


BAD = {
    "empty": (b"", "is empty (0 bytes)"),
    "text": (b"not an image at all", "not a PNG, JPEG, BMP, TIFF or DICOM"),
    "gif": (b"GIF89a" + bytes(50), "not a PNG, JPEG, BMP, TIFF or DICOM"),
    "3 pixels": (encode(".png", np.zeros((1, 3), np.uint8)), "is 3x1 px; both sides must be 64 to 8192"),
    "thin": (encode(".bmp", np.zeros((63, 200), np.uint8)), "is 200x63 px"),
    "png bomb": (png(60_000, 60_000), "is 60000x60000 px"),
    "tiff bomb": (tiff({256: 2**31, 257: 2**31}), "is 2147483648x2147483648 px"),
    "bmp bomb": (b"BM" + bytes(12) + struct.pack("<Iii", 40, 2**30, -(2**31)) + bytes(40), "px; both sides"),
    "jpeg bomb": (b"\xff\xd8\xff\xc0\0\x0b\x08\xff\xff\xff\xff\x01\x01\x11\0\xff\xd9", "is 65535x65535 px"),
    "cut png": (encode(".png", COLOUR)[:-20], "is cut short or damaged"),
    "cut jpeg": (encode(".jpg", COLOUR)[:-40], "is cut short (JPEG without its end)"),
    "zeroed jpeg": (encode(".jpg", COLOUR)[:-40] + bytes(40), "is cut short (JPEG without its end)"),
    "jpeg start only": (b"\xff\xd8\xff", "is cut short"),
    "cut bmp": (encode(".bmp", COLOUR)[:-400], "is a damaged BMP"),
    "cut tiff": (encode(".tif", COLOUR)[:300], "is cut short or damaged"),
    "png checksum": (encode(".png", COLOUR).replace(b"IDAT", b"IDAT\1", 1), "is damaged (PNG checksum at byte 33)"),
    "float tiff": (encode(".tif", GREY.astype(np.float32)), "has float32 samples"),
    "pages": (tiff({256: 100, 257: 100}, following=99), "has several pages"),
}


@pytest.mark.parametrize("case", BAD)
def test_refuses_in_one_line_that_names_the_file(tmp_path, capfd, case):
    data, words = BAD[case]
    path = tmp_path / "frame.png"
    path.write_bytes(data)
    with pytest.raises(BadInputError) as caught:
        read_image(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert words in message
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_png_with_one_changed_byte_is_refused():
    data = bytearray(encode(".png", COLOUR))
    data[len(data) // 2] ^= 1
    with pytest.raises(BadInputError, match=r"x is damaged \(PNG checksum at byte \d+\)"):
        decode_image(bytes(data), "x")


def test_refuses_what_is_no_file(tmp_path):
    with pytest.raises(BadInputError, match="does not exist"):
        read_image(tmp_path / "none.png")
    with pytest.raises(BadInputError, match="is a folder; give an image file"):
        read_image(tmp_path)
    with pytest.raises(BadInputError, match=r"does not exist|cannot be read"):
        read_image(tmp_path / ("x" * 5000 + ".png"))
    with pytest.raises(BadInputError, match=r"does not exist|cannot be read"):
        read_image(tmp_path / "a\0.png")


def test_log_level_is_put_back_whatever_threads_do():
    before = cv2.utils.logging.getLogLevel()
    broken = encode(".bmp", COLOUR)[:-400]

    def work():
        for _ in range(30):
            with pytest.raises(BadInputError):
                decode_image(broken, "x")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cv2.utils.logging.getLogLevel() == before


VALID = [encode(".png", GREY), encode(".jpg", GREY), encode(".bmp", GREY), encode(".tif", GREY), encode(".tif", DEEP)]


def decodes_or_refuses(data):
    message = ""
    try:
        pixels = decode_image(data, "x").pixels
    except BadInputError as error:
        message = str(error)
    else:
        assert pixels.dtype in (np.uint8, np.uint16)
        assert min(pixels.shape[:2]) >= 64
    assert "\n" not in message


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(VALID),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    st.floats(0, 1),
)
def test_damaged_files_are_decoded_or_refused(data, changes, keep):
    mutated = bytearray(data)
    for where, value in changes:
        # the square brings changes to the header, where the structure is
        mutated[int(where * where * len(mutated))] = value
    decodes_or_refuses(bytes(mutated))
    decodes_or_refuses(bytes(mutated[: int(keep * len(mutated))]))


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*"]), st.binary(max_size=120)
)
def test_random_bytes_are_decoded_or_refused(start, tail):
    decodes_or_refuses(start + tail)
