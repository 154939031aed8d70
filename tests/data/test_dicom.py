"""DICOM as frames: what a viewer would show, and one line without a word of the header for what cannot be read."""

from __future__ import annotations

import importlib.util
import io
import logging
import sys
import threading
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pydicom", reason="needs the dicom extra")
import pydicom
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut, apply_windowing, compress, pixel_array

from edge_cns.data.dicom import CT_WINDOW, decode_dicom, is_dicom
from edge_cns.data.images import read_image
from edge_cns.errors import BadInputError, MissingExtraError
from edge_cns.frames import Region
from edge_cns.preprocess import region_of
from tests.dicoms import NAME, SECRET, dicom_bytes, packaged

RAMP = np.arange(64 * 80, dtype=np.int16).reshape(64, 80) - 1000
GREY = (np.arange(70 * 80, dtype=np.uint16).reshape(70, 80) % 256).astype(np.uint8)
COLOUR = np.dstack([GREY, GREY[:, ::-1], 255 - GREY])


def decode(pixels: np.ndarray, **elements):
    return decode_dicom(dicom_bytes(pixels, **elements), "x")


def shown_by_pydicom(name: str) -> np.ndarray:
    """A packaged slice by pydicom's own window, scaled from its output range to 0 ... 1."""
    dataset = pydicom.dcmread(packaged(name))
    values = apply_modality_lut(dataset.pixel_array, dataset)
    signed, bits = dataset.PixelRepresentation, dataset.BitsStored
    low = -(2 ** (bits - 1)) if signed else 0
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    low, high = low * slope + intercept, (low + 2**bits - 1) * slope + intercept
    return (apply_voi_lut(values, dataset) - low) / (high - low)


@pytest.mark.parametrize(
    "name", ["MR_small.dcm", "693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm", "examples_overlay.dcm", "MR_small_RLE.dcm"]
)
def test_windows_as_pydicom_does(name: str) -> None:
    frame = read_image(packaged(name))
    assert frame.pixels.dtype == np.uint16
    padding = pydicom.dcmread(packaged(name)).get("PixelPaddingValue")
    expected = shown_by_pydicom(name)
    if padding is not None:
        expected = np.where(pydicom.dcmread(packaged(name)).pixel_array == padding, 0, expected)
    np.testing.assert_allclose(frame.pixels / 65535, expected, atol=1e-5)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(40, 400), (-300.5, 1), (1000, 3000)])
def test_window_functions(function: str, centre: float, width: float) -> None:
    elements = {"WindowCenter": str(centre), "WindowWidth": str(width), "VOILUTFunction": function}
    frame = decode(RAMP, RescaleSlope="1", RescaleIntercept="0", **elements)
    header = Dataset()
    header.PhotometricInterpretation, header.BitsStored, header.PixelRepresentation = "MONOCHROME2", 16, 1
    header.WindowCenter, header.WindowWidth, header.VOILUTFunction = str(centre), str(width), function
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # pydicom divides by width - 1
        expected = (apply_windowing(RAMP, header) + 32768) / 65535
    np.testing.assert_allclose(frame.pixels / 65535, expected, atol=1e-5)


def test_worked_example_of_the_standard() -> None:
    """PS3.3 C.11.2.1.2: centre 2048, width 4096 is the identity of 12 bits; centre 0, width 100 turns at -50 and 49."""
    values = np.linspace(0, 4095, 64 * 64).astype(np.uint16).reshape(64, 64)
    frame = decode(values, BitsStored=12, HighBit=11, WindowCenter="2048", WindowWidth="4096")
    np.testing.assert_allclose(frame.pixels / 65535, values / 4095, atol=1e-5)
    frame = decode(RAMP, WindowCenter="0", WindowWidth="100")
    assert (frame.pixels[RAMP <= -50] == 0).all()
    assert (frame.pixels[RAMP > 49] == 65535).all()
    inside = frame.pixels[(RAMP > -50) & (RAMP <= 49)]
    np.testing.assert_allclose(np.diff(inside.astype(int)), 65535 / 99, atol=1)


def test_a_ct_slice_without_window_gets_the_soft_tissue_one() -> None:
    frame = read_image(packaged("CT_small.dcm"))
    hounsfield = pydicom.dcmread(packaged("CT_small.dcm")).pixel_array - 1024.0
    expected = np.clip((hounsfield - CT_WINDOW[0]) / CT_WINDOW[1] + 0.5, 0, 1)
    np.testing.assert_allclose(frame.pixels / 65535, expected, atol=1e-5)
    assert frame.mm_per_pixel == (0.661468, 0.661468)
    assert frame.region is None


def test_without_window() -> None:
    mr = decode(RAMP, Modality="MR")
    np.testing.assert_allclose(mr.pixels / 65535, (RAMP + 1000) / (RAMP.size - 1), atol=1e-5)
    twelve = decode((RAMP + 1000).astype(np.uint16) % 4096, Modality="US", BitsStored=12, HighBit=11)
    np.testing.assert_allclose(twelve.pixels / 65535, (RAMP + 1000) % 4096 / 4095, atol=1e-5)
    np.testing.assert_array_equal(decode(GREY, Modality="US").pixels, GREY)
    np.testing.assert_array_equal(decode(GREY).pixels, GREY)
    flat = decode(np.full((64, 64), 7, np.int16), Modality="MR")
    assert flat.pixels.max() == 0


def test_inversion_and_padding() -> None:
    np.testing.assert_array_equal(decode(GREY, PhotometricInterpretation="MONOCHROME1").pixels, 255 - GREY)
    pixels = np.clip(RAMP, -900, 3000)
    padded = pixels.copy()
    padded[:5], padded[5:9] = -2000, -1990
    header = {"Modality": "MR", "PhotometricInterpretation": "MONOCHROME1", "PixelPaddingValue": -2000}
    frame = decode(padded, PixelPaddingRangeLimit=-1990, **header)
    assert (frame.pixels[:9] == 0).all()
    assert frame.pixels[9:].max() == 65535, "padding has no say in the range, and inversion does not make it white"
    np.testing.assert_array_equal(decode(padded, **header).pixels[:5], 0)


def test_lookup_tables() -> None:
    levels = np.arange(256, dtype=np.uint16)
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [256, 0, 16], (levels[::-1] * 257).tolist()
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    frame = decode(GREY, VOILUTSequence=[table])
    np.testing.assert_array_equal(frame.pixels, 255 - GREY)
    modality = Dataset()
    modality.LUTDescriptor, modality.LUTData, modality.ModalityLUTType = [256, 0, 16], (levels * 4).tolist(), "US"
    modality["LUTDescriptor"].VR = modality["LUTData"].VR = "US"
    frame = decode(GREY, ModalityLUTSequence=[modality], WindowCenter="512", WindowWidth="1021")
    np.testing.assert_allclose(frame.pixels, GREY, atol=1)


class TestColour:
    def test_rgb_becomes_bgr(self) -> None:
        np.testing.assert_array_equal(decode(COLOUR).pixels, COLOUR[..., ::-1])
        planes = COLOUR.transpose(2, 0, 1)
        data = dicom_bytes(COLOUR, PixelData=planes.tobytes(), PlanarConfiguration=1)
        np.testing.assert_array_equal(decode_dicom(data, "x").pixels, COLOUR[..., ::-1])
        deep = COLOUR.astype(np.uint16) << 2
        frame = decode(deep, BitsStored=10, HighBit=9)
        np.testing.assert_array_equal(frame.pixels, deep[..., ::-1] << 6)

    @pytest.mark.parametrize(
        "name", ["SC_ybr_full_422_uncompressed.dcm", "SC_rgb_dcmtk_+eb+cy+np.dcm", "SC_rgb_jpeg_lossy_gdcm.dcm"]
    )
    def test_ybr_becomes_bgr(self, name: str) -> None:
        """The packaged pictures are one picture, compressed in several ways."""
        plain = read_image(packaged("SC_rgb_rle.dcm")).pixels
        assert np.abs(read_image(packaged(name)).pixels.astype(int) - plain).mean() < 3

    def test_a_palette_is_looked_up(self) -> None:
        from pydicom.pixels import apply_color_lut

        dataset = pydicom.dcmread(packaged("examples_palette.dcm"))
        expected = apply_color_lut(dataset.pixel_array, dataset)[..., ::-1]
        np.testing.assert_array_equal(read_image(packaged("examples_palette.dcm")).pixels, expected)


class TestClips:
    CLIP = np.stack([np.roll(GREY, 5 * i, axis=0) for i in range(4)])

    def test_a_number_after_the_path_names_the_frame(self, tmp_path: Path) -> None:
        path = tmp_path / "clip.dcm"
        path.write_bytes(dicom_bytes(self.CLIP, Modality="US"))
        for number in range(1, 5):
            frame = read_image(tmp_path / f"clip.dcm#{number}")
            np.testing.assert_array_equal(frame.pixels, self.CLIP[number - 1])

    def test_without_a_number_the_error_says_how(self, tmp_path: Path) -> None:
        path = tmp_path / "clip.dcm"
        path.write_bytes(dicom_bytes(self.CLIP))
        with pytest.raises(
            BadInputError, match=r"clip\.dcm has 4 frames; say which one: .*clip\.dcm#1 to .*clip\.dcm#4"
        ):
            read_image(path)
        for number in (0, 5, 99999999):
            with pytest.raises(BadInputError, match=f"has 4 frames; there is no frame {number}, they count from 1"):
                read_image(tmp_path / f"clip.dcm#{number}")

    def test_a_compressed_clip(self) -> None:
        clip = packaged("examples_ybr_color.dcm")
        dataset = pydicom.dcmread(clip)
        for number in (1, 30):
            expected = pixel_array(dataset, index=number - 1)[..., ::-1]
            np.testing.assert_array_equal(read_image(clip.with_name(f"{clip.name}#{number}")).pixels, expected)

    def test_a_file_of_one_frame_may_be_numbered(self, tmp_path: Path) -> None:
        (tmp_path / "one.dcm").write_bytes(dicom_bytes(GREY))
        np.testing.assert_array_equal(read_image(tmp_path / "one.dcm#1").pixels, GREY)

    def test_file_names_may_have_the_sign(self, tmp_path: Path) -> None:
        content = cv2.imencode(".png", GREY)[1].tobytes()
        (tmp_path / "scan#2").write_bytes(content)
        np.testing.assert_array_equal(read_image(tmp_path / "scan#2").pixels, GREY)
        with pytest.raises(BadInputError, match=r"scan#2 is not DICOM, so it has no frame 3; give its path without #3"):
            read_image(tmp_path / "scan#2#3")
        with pytest.raises(BadInputError, match=r"gone\.dcm#3 does not exist"):
            read_image(tmp_path / "gone.dcm#3")

    def test_windows_of_an_enhanced_image_belong_to_its_frames(self) -> None:
        values = np.stack([RAMP, RAMP])
        groups = []
        for centre, slope in ((0, 1), (2000, 2)):
            group, voi, rescale, measures = Dataset(), Dataset(), Dataset(), Dataset()
            voi.WindowCenter, voi.WindowWidth = str(centre), "1000"
            rescale.RescaleSlope, rescale.RescaleIntercept = str(slope), "0"
            measures.PixelSpacing = [0.5 * slope, 0.25]
            group.FrameVOILUTSequence, group.PixelValueTransformationSequence = [voi], [rescale]
            group.PixelMeasuresSequence = [measures]
            groups.append(group)
        data = dicom_bytes(values, PerFrameFunctionalGroupsSequence=groups)
        first, second = (decode_dicom(data, "x", number=number) for number in (1, 2))
        np.testing.assert_array_equal(first.pixels, decode(RAMP, WindowCenter="0", WindowWidth="1000").pixels)
        doubled = decode(RAMP, RescaleSlope="2", RescaleIntercept="0", WindowCenter="2000", WindowWidth="1000")
        np.testing.assert_array_equal(second.pixels, doubled.pixels)
        assert (first.mm_per_pixel, second.mm_per_pixel) == ((0.25, 0.5), (0.25, 1.0))


class TestRegions:
    """PS3.3 C.8.5.5: US Region Calibration."""

    @staticmethod
    def region(left: int, top: int, right: int, bottom: int, *, kind: int = 1, form: int = 1, delta: float = 0.05):
        item = Dataset()
        item.RegionSpatialFormat, item.RegionDataType = form, kind
        item.RegionLocationMinX0, item.RegionLocationMinY0 = left, top
        item.RegionLocationMaxX1, item.RegionLocationMaxY1 = right, bottom
        item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
        item.PhysicalDeltaX, item.PhysicalDeltaY = delta, -delta
        return item

    def frame(self, *items):
        return decode(np.zeros((100, 200), np.uint8), SequenceOfUltrasoundRegions=list(items))

    def test_the_network_sees_what_the_machine_says(self) -> None:
        from edge_cns.contract import InputSpec

        frame = self.frame(self.region(20, 10, 119, 89))
        assert frame.region == Region(20, 10, 100, 80)
        assert frame.mm_per_pixel == pytest.approx((0.5, 0.5))
        assert region_of(frame, InputSpec(64, 64)) == frame.region

    def test_the_largest_two_dimensional_tissue_region_counts(self) -> None:
        items = [
            self.region(0, 0, 199, 99, kind=10, form=4),  # an ECG
            self.region(0, 0, 190, 90, kind=2),  # colour flow
            self.region(5, 5, 60, 60, delta=0.1),
            self.region(20, 10, 119, 89),
        ]
        assert self.frame(*items).region == Region(20, 10, 100, 80)

    def test_an_edge_one_pixel_too_far_is_meant_for_the_last(self) -> None:
        assert self.frame(self.region(100, 20, 200, 100)).region == Region(100, 20, 100, 80)

    @pytest.mark.parametrize("corners", [(20, 10, 400, 89), (150, 10, 120, 89), (20, 10, 40, 89)])
    def test_what_does_not_fit_or_is_a_sliver_is_not_believed(self, corners: tuple[int, int, int, int]) -> None:
        frame = self.frame(self.region(*corners))
        assert (frame.region, frame.mm_per_pixel) == (None, None)

    def test_other_units_are_no_spacing(self) -> None:
        item = self.region(20, 10, 119, 89)
        item.PhysicalUnitsXDirection = 4  # seconds
        assert (self.frame(item).region, self.frame(item).mm_per_pixel) == (Region(20, 10, 100, 80), None)

    def test_a_packaged_clip_that_somebody_made_smaller(self) -> None:
        """Its region lies outside the pixels it has now."""
        clip = packaged("examples_ybr_color.dcm")
        frame = read_image(clip.with_name(f"{clip.name}#1"))
        assert (frame.region, frame.mm_per_pixel) == (None, None)


def test_files_without_the_header_of_a_file() -> None:
    dataset = pydicom.dcmread(packaged("MR_small.dcm"))
    expected = read_image(packaged("MR_small.dcm")).pixels
    for implicit, little in ((True, True), (False, True), (False, False)):
        name = {(True, True): "MR_small_implicit", (False, True): "MR_small", (False, False): "MR_small_bigendian"}
        whole = packaged(f"{name[implicit, little]}.dcm").read_bytes()
        dataset = pydicom.dcmread(packaged(f"{name[implicit, little]}.dcm"))
        start = dataset.file_meta["FileMetaInformationGroupLength"].value + 132 + 12
        assert is_dicom(whole[start:])
        np.testing.assert_array_equal(decode_dicom(whole[start:], "x").pixels, expected)


PLAIN = dicom_bytes(GREY)


def in_boxes(boxes: bytes) -> bytes:
    """A JPEG 2000 picture in a container, as DICOM does not have it, of these boxes."""
    from pydicom.encaps import encapsulate, generate_frames

    dataset = pydicom.dcmread(packaged("examples_jpeg2k.dcm"))
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([b"\0\0\0\x0cjP  \r\n\x87\n" + boxes + b"\0\0\0\0jp2c" + stream])
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


BAD = {
    "no pixel data": (
        lambda: packaged("rtplan.dcm").read_bytes(),
        "has no pixel data (DICOM), or its end is missing; give files",
    ),
    "truncated": (lambda: packaged("MR_truncated.dcm").read_bytes(), "is cut short or damaged (DICOM)"),
    "header only": (lambda: PLAIN[:300], "has no pixel data"),
    "cut in the pixels": (lambda: PLAIN[:-2000], "is cut short or damaged (DICOM)"),
    "32 bits": (lambda: packaged("SC_rgb_rle_32bit.dcm").read_bytes(), "has 32 bits a pixel; save it with 8 or 16"),
    "1 bit": (lambda: packaged("liver_1frame.dcm").read_bytes(), "has 1 bits a pixel"),
    "small": (lambda: packaged("rtdose_1frame.dcm").read_bytes(), "is 10x10 px; both sides must be 64 to 8192 px"),
    "bomb": (lambda: dicom_bytes(GREY, Rows=60000, Columns=60000), "is 60000x60000 px"),
    "frames": (lambda: dicom_bytes(GREY[None]).replace(b"IS\x02\x001 ", b"IS\x02\x00x1"), "is a damaged DICOM file"),
    "deflated": (lambda: packaged("image_dfl.dcm").read_bytes(), "is deflated DICOM, which is not read"),
    "window": (lambda: dicom_bytes(GREY, WindowCenter="1", WindowWidth="0"), "has a window of centre 1 and width 0"),
    "photometric": (
        lambda: dicom_bytes(GREY, PhotometricInterpretation="HSV"),
        "of kind 'HSV'; save it as grey or RGB",
    ),
    "samples": (lambda: dicom_bytes(COLOUR, SamplesPerPixel=4), "has 4 samples a pixel"),
    "12-bit JPEG": (lambda: packaged("JPEG-lossy.dcm").read_bytes(), "a variant of JPEG Extended (Process 2 and 4)"),
    "JPEG, cut": (lambda: packaged("SC_rgb_jpeg_dcmtk.dcm").read_bytes()[:-1500], "or its end is missing"),
    "JPEG, damaged": (
        lambda: packaged("SC_rgb_jpeg_dcmtk.dcm").read_bytes().replace(b"\xff\xc0", b"\xff\xc3"),
        "is damaged, or a variant of JPEG Baseline (Process 1) that is not decoded here",
    ),
    "endless boxes": (lambda: in_boxes(b"\0\0\0\0ftyp"), "has a damaged JPEG 2000 container in it"),
    "boxes in boxes": (lambda: in_boxes(b"\0\0\0\x08free" * 100), "has a damaged JPEG 2000 container in it"),
    "odd syntax": (
        lambda: dicom_bytes(GREY).replace(b"1.2.840.10008.1.2.1", b"1.2.840.10\n08.1.2.1"),
        "is compressed as 1.2.840.10 08.1.2.1, which cannot be decoded here",
    ),
    "odd patient": (lambda: dicom_bytes(GREY[:, :70], PatientID=SECRET * 20, Rows=80), "is cut short or damaged"),
}


@pytest.mark.parametrize("case", BAD)
def test_refuses_in_one_line_that_names_the_file(tmp_path: Path, capfd, caplog, case: str) -> None:
    make, words = BAD[case]
    path = tmp_path / "slice.dcm"
    path.write_bytes(make())
    caplog.clear()
    with caplog.at_level(logging.DEBUG), pytest.raises(BadInputError) as caught:
        read_image(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert words in message
    assert "\n" not in message
    assert SECRET not in message
    assert NAME not in message
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")


def test_a_container_that_leads_to_the_code_stream_is_stepped_over() -> None:
    from PIL import Image
    from pydicom.encaps import encapsulate

    boxed, buffer = io.BytesIO(), io.BytesIO()
    Image.fromarray(GREY).save(boxed, "JPEG2000")
    assert b"jp2c" in boxed.getvalue()
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(GREY)))
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
    dataset.PixelData = encapsulate([boxed.getvalue()])
    dataset.save_as(buffer)
    np.testing.assert_array_equal(decode_dicom(buffer.getvalue(), "x").pixels, GREY)


def test_floating_point_pixels() -> None:
    data = dicom_bytes(GREY)
    dataset = pydicom.dcmread(io.BytesIO(data))
    del dataset.PixelData
    dataset.FloatPixelData = GREY.astype(np.float32).tobytes()
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    with pytest.raises(BadInputError, match="x has floating-point pixels; store them as integers"):
        decode_dicom(buffer.getvalue(), "x")


@pytest.mark.skipif(importlib.util.find_spec("jpeg_ls") is not None, reason="a JPEG-LS decoder is installed")
def test_a_compression_without_decoder_is_named() -> None:
    with pytest.raises(BadInputError) as caught:
        read_image(packaged("MR_small_jpeg_ls_lossless.dcm"))
    assert "is compressed as JPEG-LS Lossless Image Compression, which cannot be decoded here; install" in str(
        caught.value
    )


def test_without_pydicom_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cli) -> None:
    (tmp_path / "slice.dcm").write_bytes(PLAIN)
    (tmp_path / "labels.csv").write_text("path,label,patient_id\nslice.dcm,a,p\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "pydicom"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"pydicom is not installed; run: pip install 'edge-cns\[dicom\]'"):
        read_image(tmp_path / "slice.dcm")
    outcome = cli("data", "check", tmp_path / "labels.csv")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "edge-cns[dicom]" in outcome.err


def test_warnings_of_other_threads_are_left_alone() -> None:
    """Files that pydicom warns of, in four threads: nothing is printed, and the filters are as they were."""
    padded = packaged("MR_small_padded.dcm")
    before = list(warnings.filters)

    def work() -> None:
        for _ in range(5):
            read_image(padded)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before


def _compressed() -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(dicom_bytes(GREY)))
    compress(dataset, pydicom.uid.RLELossless)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


VALID = [PLAIN, dicom_bytes(RAMP, WindowCenter="0", WindowWidth="9"), dicom_bytes(COLOUR), _compressed()]


@settings(deadline=None, max_examples=120)
@given(
    st.sampled_from(VALID),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=5),
    st.floats(0, 1),
)
def test_damaged_files_are_decoded_or_refused(data, changes, keep) -> None:
    mutated = bytearray(data)
    for where, value in changes:
        mutated[132 + int(where * where * min(900, len(mutated) - 132))] = value  # mostly the header
    for content in (bytes(mutated), bytes(mutated[: int(keep * len(mutated))])):
        try:
            pixels = decode_dicom(content, "x").pixels
        except BadInputError as error:
            message = str(error)
        else:
            assert pixels.dtype in (np.uint8, np.uint16)
            message = ""
        assert "\n" not in message
        assert SECRET not in message
