from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_cns.contract import InputSpec
from edge_cns.data import phantom
from edge_cns.data.images import read_image
from edge_cns.data.manifest import read_manifest
from edge_cns.errors import BadInputError
from edge_cns.evaluation.heatmaps.lesions import content_box, mask_in_tensor, read_lesions
from edge_cns.frames import Frame, Region
from edge_cns.preprocess import image


def png(path: Path, pixels: np.ndarray) -> Path:
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return path


@pytest.mark.parametrize(
    ("shape", "spec"),
    [
        ((200, 200), InputSpec(64, 64, region="whole")),
        ((200, 320), InputSpec(64, 64, region="whole")),  # padded above and below
        ((320, 200), InputSpec(64, 96, region="whole")),  # padded at the sides
        ((200, 320), InputSpec(64, 64, region="whole", letterbox=False)),
        ((200, 320), InputSpec(64, 64, region="fixed", fixed_region=Region(40, 20, 160, 160))),
        ((100, 90), InputSpec(224, 224, region="whole")),  # enlarged
    ],
)
def test_the_mask_lies_on_what_the_network_sees(shape: tuple[int, int], spec: InputSpec, tmp_path: Path) -> None:
    lesion = np.zeros(shape, np.uint8)
    lesion[40:70, 50:80] = 255
    frame = Frame(lesion)
    inside = mask_in_tensor(png(tmp_path / "mask.png", lesion), frame, spec)
    seen = image(frame, spec) >= 128
    assert inside.dtype == np.bool_
    assert inside.any()
    np.testing.assert_array_equal(inside, seen)
    x, y, width, height = content_box(frame, spec)
    assert not np.delete(inside, np.s_[y : y + height], axis=0).any()
    assert inside[y : y + height, x : x + width].sum() == inside.sum()


def test_the_region_is_found_in_the_frame_and_not_in_the_mask(tmp_path: Path, phantom_pixels: np.ndarray) -> None:
    screen = np.zeros((400, 640), np.uint8)
    screen[80:336, 200:456] = phantom_pixels
    lesion = np.zeros_like(screen)
    lesion[180:220, 300:340] = 255
    spec, frame = InputSpec(160, 160), Frame(screen)
    inside = mask_in_tensor(png(tmp_path / "mask.png", lesion), frame, spec)
    painted = Frame(np.where(lesion > 0, np.uint8(0), screen), region=None)
    dark = (image(frame, spec).astype(int) - image(painted, spec)) > 20
    assert dark.any()
    assert (dark & ~inside).sum() < 0.05 * inside.sum()


def test_a_lesion_outside_the_region_is_nowhere_and_a_speck_is_kept(tmp_path: Path) -> None:
    spec = InputSpec(64, 64, region="fixed", fixed_region=Region(0, 0, 512, 512))
    frame = Frame(np.zeros((600, 600), np.uint8))
    far, speck = np.zeros((2, 600, 600), np.uint8)
    far[550:580, 550:580] = 255
    speck[100:104, 100:104] = 255
    assert not mask_in_tensor(png(tmp_path / "far.png", far), frame, spec).any()
    assert 1 <= mask_in_tensor(png(tmp_path / "speck.png", speck), frame, spec).sum() <= 4


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    path = png(tmp_path / "mask.png", np.zeros((64, 80), np.uint8))
    with pytest.raises(BadInputError, match="is 80x64 px, its frame 70x70; draw the mask on the frame itself"):
        mask_in_tensor(path, Frame(np.zeros((70, 70), np.uint8)), InputSpec(64, 64))


class TestPairsFile:
    def test_the_phantoms_is_read_and_its_masks_fit(self, tmp_path: Path) -> None:
        phantom.write_dataset(tmp_path / "set", patients=5, frames=2, seed=3, size=96, clips=False)
        manifest = read_manifest(tmp_path / "set" / "labels.csv")
        lesions = read_lesions(manifest)
        shown = [row.path for row in manifest.rows if row.evidence is True]
        assert [lesion.row.path for lesion in lesions] == shown
        for lesion in lesions:
            assert lesion.twin is not None
            assert mask_in_tensor(lesion.mask, read_image(lesion.row.path), InputSpec(64, 64)).any()

    def test_no_file_no_lesions(self, tmp_path: Path) -> None:
        (tmp_path / "labels.csv").write_text("path,label,patient_id\na.png,x,p\n")
        assert read_lesions(read_manifest(tmp_path / "labels.csv")) == ()

    def test_rows_that_the_labels_lack_are_left_out_and_a_twin_is_optional(self, tmp_path: Path) -> None:
        (tmp_path / "labels.csv").write_text("path,label,patient_id\na.png,x,p\nb.png,x,p\n")
        (tmp_path / "pairs.csv").write_text("mask,path\nmb.png,b.png\nmc.png,c.png\n\n")
        (lesion,) = read_lesions(read_manifest(tmp_path / "labels.csv"))
        assert (lesion.row.path, lesion.mask, lesion.twin) == (tmp_path / "b.png", tmp_path / "mb.png", None)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("path\na.png\n", "has no column mask"),
            ("\n", "has no column path, mask"),
            ("", "is empty"),
            ("path,mask\na.png,\n", "row 2 lacks a value"),
            ("path,mask\na.png\n", "row 2 lacks a value"),
            ("path,mask\na.png,m.png\na.png,n.png\n", "row 3 has a.png a second time"),
            ('path,mask\n"a.png,m.png\n', "is not UTF-8 CSV"),
            (b"path,mask\n\xff.png,m.png\n", "is not UTF-8 CSV"),
        ],
    )
    def test_bad_input_is_one_line(self, text: str | bytes, message: str, tmp_path: Path) -> None:
        (tmp_path / "labels.csv").write_text("path,label,patient_id\na.png,x,p\n")
        (tmp_path / "pairs.csv").write_bytes(text.encode() if isinstance(text, str) else text)
        manifest = read_manifest(tmp_path / "labels.csv")
        with pytest.raises(BadInputError, match=message) as caught:
            read_lesions(manifest)
        assert "\n" not in str(caught.value)
