"""Whose image it is: what is valid of a header, and nothing that shows itself."""

from __future__ import annotations

from datetime import datetime

import pytest

pytest.importorskip("pydicom", reason="needs the dicom extra")
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from edge_cns.data.dicom import discreet
from edge_cns.data.dicom_identity import identity_of
from tests.dicoms import NAME, SECRET


def header(**elements) -> Dataset:
    dataset = Dataset()
    with discreet():
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
    return dataset


def of(**elements):
    dataset = header(**elements)
    with discreet():
        return identity_of(dataset)


def region(form: int, kind: int) -> Dataset:
    return header(RegionSpatialFormat=form, RegionDataType=kind)


def test_an_empty_header():
    empty = of()
    assert (empty.study, empty.series, empty.instance, empty.sop_class, empty.mode) == ("", "", "", "", "")
    assert (empty.attributes, empty.taken, empty.number, empty.burned_in) == ({}, None, 0, False)


@pytest.mark.parametrize(
    ("uid", "valid"),
    [
        ("1.2.840.10008.1", True),
        ("0.1", True),
        ("1.02", False),
        ("1..2", False),
        ("a.b", False),
        ("1", False),
        ("1." + "2" * 62, True),
        ("1." + "2" * 63, False),
        ("", False),
    ],
)
def test_uids(uid, valid):
    assert of(StudyInstanceUID=uid).study == (uid if valid else "")


def test_what_a_report_repeats():
    found = of(PatientName=NAME, PatientID=SECRET, PatientSex="F", PatientBirthDate="19800101", StudyTime="1011")
    assert found.attributes == {
        "PatientName": NAME,
        "PatientID": SECRET,
        "PatientSex": "F",
        "PatientBirthDate": "19800101",
        "StudyTime": "1011",
    }
    odd = of(PatientSex="FEMALE", PatientBirthDate="1 Jan", StudyDate="2026", StudyTime="ten", PatientID="a\x1bb\nc")
    assert odd.attributes == {"PatientID": "abc"}
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("regions", "mode"),
    [
        ([], ""),
        ([(1, 1)], ""),
        ([(2, 1)], "M"),
        ([(1, 1), (2, 1)], ""),
        ([(3, 3)], "doppler"),
        ([(1, 2)], "doppler"),
        ([(5, 1)], ""),
    ],
)
def test_modes(regions, mode):
    assert of(SequenceOfUltrasoundRegions=[region(*one) for one in regions]).mode == mode


def test_a_region_that_says_nothing():
    assert of(SequenceOfUltrasoundRegions=[Dataset()]).mode == ""


@pytest.mark.parametrize(
    ("elements", "taken"),
    [
        ({"AcquisitionDateTime": "20260102030405.5"}, datetime(2026, 1, 2, 3, 4, 5)),
        ({"AcquisitionDate": "20260102", "AcquisitionTime": "030405"}, datetime(2026, 1, 2, 3, 4, 5)),
        ({"ContentDate": "20260102", "ContentTime": "030405.25"}, datetime(2026, 1, 2, 3, 4, 5)),
        ({"AcquisitionDateTime": "20261302030405", "ContentDate": "20260102", "ContentTime": "000000"}, None),
        ({"AcquisitionDateTime": "2026"}, None),
        ({"ContentTime": "030405"}, None),
    ],
)
def test_times(elements, taken):
    expected = datetime(2026, 1, 2) if "20261302030405" in elements.values() else taken
    assert of(**elements).taken == expected


@given(st.dictionaries(st.sampled_from(["PatientName", "PatientID", "InstanceNumber", "Modality"]), st.text()))
def test_any_text_is_one_line_or_nothing(elements):
    found = of(**{k: v for k, v in elements.items() if k != "InstanceNumber"})
    assert all(text.isprintable() and text for text in found.attributes.values())
