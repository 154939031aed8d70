"""DICOM files become a data set: pixels of the region, pseudonyms, and nothing of the header beside them."""

from __future__ import annotations

import csv
import io
import shutil
import stat

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("pydicom", reason="needs the dicom extra")
import pydicom
from pydicom.dataset import Dataset

from edge_cns.cli import root
from edge_cns.data.dicom_import import IMPORT_COLUMNS, import_dicom, read_salt
from edge_cns.data.manifest import read_manifest
from edge_cns.errors import BadInputError
from tests.dicoms import NAME, SECRET, dicom_bytes, packaged

SALT = bytes(range(32))
GREY = np.random.default_rng(1).integers(0, 255, (4, 120, 160), dtype=np.uint8)


def region(left=20, top=10, right=119, bottom=99) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType = 1, 1
    item.RegionLocationMinX0, item.RegionLocationMinY0 = left, top
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = right, bottom
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = 0.05
    return item


def clip(**changes) -> bytes:
    header = {
        "Modality": "US",
        "StudyInstanceUID": "1.2.3",
        "Manufacturer": "Acme",
        "ManufacturerModelName": "Sono 1",
        "FrameTime": "40",
        "SequenceOfUltrasoundRegions": [region()],
    }
    pixels = changes.pop("pixels", GREY)
    return dicom_bytes(pixels, **{**header, **changes})


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "media"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "a.dcm").write_bytes(clip(InstanceNumber="1"))
    (folder / "deep" / "er" / "IM2").write_bytes(clip(pixels=GREY[0], InstanceNumber="2"))
    (folder / "b.dcm").write_bytes(clip(pixels=GREY[1], StudyInstanceUID="1.2.4"))
    (folder / "c.dcm").write_bytes(clip(pixels=GREY[2], PatientID="other", StudyInstanceUID="1.2.5"))
    (folder / "readme.txt").write_text("not DICOM")
    return folder


def rows(out) -> list[dict[str, str]]:
    with (out / "labels.csv").open() as file:
        return list(csv.DictReader(file))


def test_what_is_written(source, tmp_path):
    out = tmp_path / "scans"
    done = import_dicom(source, out, salt=SALT)
    table = rows(out)
    assert (done.frames, done.patients, done.exams, done.left_out) == (7, 2, 3, [])
    assert tuple(table[0]) == IMPORT_COLUMNS
    assert {row["label"] for row in table} == {""}
    assert len({row["path"] for row in table}) == 7
    first = [row for row in table if row["exam_id"] == table[0]["exam_id"]]
    assert [row["seconds"] for row in first] == ["0.000", "0.040", "0.080", "0.120", ""]
    assert {(row["device"], row["modality"], row["mm_per_pixel"]) for row in table} == {
        ("Acme Sono 1", "US", "0.5x0.5")
    }
    read = cv2.imread(str(out / table[1]["path"]), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read, GREY[1][10:100, 20:120])
    assert sorted(path.name for path in out.iterdir()) == ["images", "labels.csv"]


def test_nothing_of_the_patient_is_in_it(source, tmp_path):
    out = tmp_path / "scans"
    import_dicom(source, out, salt=SALT)
    everything = b"".join(path.read_bytes() + str(path).encode() for path in out.rglob("*") if path.is_file())
    for secret in (NAME, SECRET, "1.2.3", "other", "media"):
        assert secret.encode() not in everything.replace(str(tmp_path).encode(), b""), secret


def test_the_label_is_for_a_person_to_fill_in(source, tmp_path):
    out = tmp_path / "scans"
    import_dicom(source, out, salt=SALT)
    with pytest.raises(BadInputError, match="line 2 has an empty label"):
        read_manifest(out / "labels.csv")
    text = (out / "labels.csv").read_text().replace(".png,,", ".png,normal,")
    (out / "labels.csv").write_text(text)
    manifest = read_manifest(out / "labels.csv")
    assert len(manifest.patients) == 2
    assert manifest.rows[1].seconds == 0.04


def test_pseudonyms_hold_over_imports_with_the_same_salt_alone(source, tmp_path):
    for name, salt in (("one", SALT), ("two", SALT), ("three", bytes(32))):
        import_dicom(source, tmp_path / name, salt=salt)
    one, two, three = ([row["patient_id"] for row in rows(tmp_path / name)] for name in ("one", "two", "three"))
    assert one == two
    assert not set(one) & set(three)


def test_a_number_is_another_with_another_issuer(tmp_path):
    folder = tmp_path / "media"
    folder.mkdir()
    for i, issuer in enumerate(("north", "south", "north")):
        (folder / f"{i}.dcm").write_bytes(clip(pixels=GREY[i], IssuerOfPatientID=issuer, StudyInstanceUID=f"1.2.{i}"))
    done = import_dicom(folder, tmp_path / "scans", salt=SALT)
    assert (done.patients, done.exams) == (2, 3)


def test_times_of_capture_give_the_order(tmp_path):
    folder = tmp_path / "media"
    folder.mkdir()
    for name, taken in (("a", "20260101120030"), ("b", "20260101120000.5")):
        (folder / f"{name}.dcm").write_bytes(clip(pixels=GREY[:2], AcquisitionDateTime=taken))
    import_dicom(folder, tmp_path / "scans", salt=SALT)
    assert [row["seconds"] for row in rows(tmp_path / "scans")] == ["0.000", "0.040", "30.000", "30.040"]


def test_every_so_many_frames(tmp_path, source):
    import_dicom(source, tmp_path / "scans", salt=SALT, every=3)
    assert [row["seconds"] for row in rows(tmp_path / "scans")][:2] == ["0.000", "0.120"]


def test_what_is_left_out_and_why(source, tmp_path):
    (source / "copy.dcm").write_bytes((source / "a.dcm").read_bytes())
    (source / "cut.dcm").write_bytes(clip()[:-70000])
    (source / "nobody.dcm").write_bytes(clip(PatientID="", StudyInstanceUID=""))
    flat = np.full((100, 100), 90, np.uint8)
    (source / "noregion.dcm").write_bytes(clip(pixels=flat, SequenceOfUltrasoundRegions=[]))
    (source / "small.dcm").write_bytes(clip(pixels=GREY[0], SequenceOfUltrasoundRegions=[region(0, 0, 39, 39)]))
    shutil.copy(packaged("reportsi.dcm"), source / "report.dcm")
    done = import_dicom(source, tmp_path / "scans", salt=SALT)
    why = dict(done.left_out)
    assert done.frames == 7
    assert why["copy.dcm"] == "it is a copy of an earlier file"
    assert "is cut short or damaged" in why["cut.dcm"]
    assert "neither patient nor study" in why["nobody.dcm"]
    assert "--whole-frame takes it as it is" in why["noregion.dcm"]
    assert "its region is 40x40 px" in why["small.dcm"]
    assert "has no pixel data" in why["report.dcm"]
    assert not any(SECRET in text or NAME in text for text in why.values())
    import_dicom(source, tmp_path / "whole", salt=SALT, whole_frame=True)
    assert any(cv2.imread(str(path)).shape[:2] == (120, 160) for path in (tmp_path / "whole" / "images").iterdir())


def test_a_damaged_frame_in_a_clip_is_one_frame(tmp_path):
    from pydicom.encaps import encapsulate, generate_frames
    from pydicom.pixels import compress

    dataset = pydicom.dcmread(io.BytesIO(clip()))
    compress(dataset, pydicom.uid.RLELossless)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=4))
    dataset.PixelData = encapsulate([frames[0], b"\1" + bytes(70), *frames[2:]])
    (tmp_path / "media").mkdir()
    dataset.save_as(tmp_path / "media" / "a.dcm")
    done = import_dicom(tmp_path / "media", tmp_path / "scans", salt=SALT)
    assert done.frames == 3
    assert done.left_out == [("a.dcm", "1 of its frames are damaged; the others were taken")]


def test_real_clips(tmp_path):
    folder = tmp_path / "media"
    folder.mkdir()
    for name in ("examples_ybr_color.dcm", "examples_rgb_color.dcm", "examples_palette.dcm", "CT_small.dcm"):
        shutil.copy(packaged(name), folder / name)
    done = import_dicom(folder, tmp_path / "scans", salt=SALT)
    clip = [row for row in rows(tmp_path / "scans") if row["seconds"]]
    assert len(clip) == 30
    height, width = cv2.imread(str(tmp_path / "scans" / clip[0]["path"])).shape[:2]
    assert 150 < height < 240
    assert 150 < width < 320
    assert [name for name, _ in done.left_out] == ["CT_small.dcm"]


def test_a_dicomdir_lists_what_is_taken(source, tmp_path):
    from pydicom.fileset import FileSet

    media, stray = FileSet(), clip(pixels=GREY[3], StudyInstanceUID="1.2.9")
    more = {"StudyDate": "20260101", "StudyTime": "10", "StudyID": "1", "AccessionNumber": "", "SeriesNumber": "1"}
    for number, pixels in enumerate((GREY, GREY[1])):
        header = {**more, "SeriesInstanceUID": f"1.2.{number}.1", "InstanceNumber": "1"}
        content = clip(pixels=pixels, StudyInstanceUID=f"1.2.{number}", **header)
        media.add(pydicom.dcmread(io.BytesIO(content)))
    media.write(tmp_path / "disc")
    media._stage["t"].cleanup()  # else it warns of its own temporary folder
    (tmp_path / "disc" / "STRAY").write_bytes(stray)
    listed = import_dicom(tmp_path / "disc" / "DICOMDIR", tmp_path / "listed", salt=SALT)
    assert (listed.frames, listed.exams) == (5, 2)
    found = import_dicom(tmp_path / "disc", tmp_path / "found", salt=SALT)
    assert (found.frames, found.exams) == (6, 3)


@pytest.mark.parametrize("kind", ["missing", "empty", "no dicomdir", "exists"])
def test_one_line_for_what_cannot_be_imported(tmp_path, source, kind):
    out, given = tmp_path / "scans", source
    if kind == "missing":
        given = tmp_path / "nothing"
    elif kind == "empty":
        given = tmp_path / "folder"
        given.mkdir()
    elif kind == "no dicomdir":
        given = source / "a.dcm"
    else:
        out.mkdir()
    before = set(tmp_path.iterdir())
    with pytest.raises(BadInputError) as raised:
        import_dicom(given, out, salt=SALT)
    assert "\n" not in str(raised.value)
    assert set(tmp_path.iterdir()) == before


def test_the_salt_is_made_once_and_kept_private(tmp_path):
    path = tmp_path / "site.salt"
    salt = read_salt(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_salt(path) == salt
    path.chmod(0o644)
    with pytest.raises(BadInputError, match="can be read by others"):
        read_salt(path)
    path.chmod(0o600)
    path.write_text("too short")
    with pytest.raises(BadInputError, match="does not hold 32 bytes"):
        read_salt(path)
    with pytest.raises(BadInputError, match="cannot be used"):
        read_salt(tmp_path / "nowhere" / "salt")


def test_the_command(source, tmp_path):
    (source / "cut.dcm").write_bytes(clip()[:-70000])
    out = tmp_path / "scans"
    done = CliRunner().invoke(root, ["data", "import", str(source), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{out / 'labels.csv'}: 7 frames, 2 patients, 3 exams; label them\n"
    assert done.stderr.splitlines()[0] == "left out: 1 files"
    assert SECRET not in done.output
    assert (tmp_path / "scans.salt").exists()
    again = CliRunner().invoke(root, ["data", "import", str(source), "--out", str(out)])
    assert isinstance(again.exception, BadInputError)
