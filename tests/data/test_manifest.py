from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_cns.data.manifest import SPLITS, read_manifest
from edge_cns.errors import BadInputError

HEAD = "path,label,patient_id"


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "labels.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_reads_every_column(tmp_path):
    content = (
        "path,label,patient_id,exam_id,fetus_id,plane,gestational_age_weeks,site,device,subtype,reference_standard,"
        "evidence,split,operator\n"
        "a.png,normal,7,e1,f1,spine,20.5,north,M1,s,phantom,False,fit,Op. 1\n"
        "/abs/b.png,open,8,,,,,,,,,,,\n"
    )
    path = write(tmp_path, content)
    manifest = read_manifest(path)
    first, second = manifest.rows
    assert first.path == tmp_path / "a.png"
    assert second.path == Path("/abs/b.png")
    assert (first.line, second.line) == (2, 3)
    assert (first.patient_id, first.exam_id, first.fetus_id, first.plane) == ("7", "e1", "f1", "spine")
    assert (first.gestational_age_weeks, first.site, first.device, first.subtype) == (20.5, "north", "M1", "s")
    assert (first.evidence, first.split, dict(first.extra)) == (False, "fit", {"operator": "Op. 1"})
    assert (second.gestational_age_weeks, second.evidence, second.split) == (None, None, "train")
    assert manifest.extra_columns == ("operator",)
    assert manifest.phantom
    assert first.phantom
    assert not second.phantom
    assert manifest.sha256 == hashlib.sha256(content.encode()).hexdigest()
    assert [first.value(name) for name in ("evidence", "gestational_age_weeks", "operator", "unknown")] == [
        "false",
        "20.5",
        "Op. 1",
        "",
    ]
    assert second.value("gestational_age_weeks") == ""
    assert hash(first) != hash(second)


def test_tolerates_what_spreadsheets_write(tmp_path):
    body = ' path , label ,patient_id,note\r\n" a, b.png", normal ,7,"two ""words"""\r\n\r\n,,,\r\nc.png,open,8,\r\n'
    manifest = read_manifest(write(tmp_path, b"\xef\xbb\xbf" + body.encode()))
    assert [row.path.name for row in manifest.rows] == ["a, b.png", "c.png"]
    assert manifest.rows[0].extra["note"] == 'two "words"'
    assert [row.line for row in manifest.rows] == [2, 5]


def test_classes_are_sorted_and_unicode_forms_are_one_class(tmp_path):
    manifest = read_manifest(write(tmp_path, f"{HEAD}\na,zeta,1\nb,anence\u0301phalie,2\nc,anenc\u00e9phalie,3\n"))
    assert manifest.classes == ("anenc\u00e9phalie", "zeta")
    assert manifest.patients == ("1", "2", "3")


def test_selects_rows(tmp_path):
    manifest = read_manifest(write(tmp_path, f"{HEAD},split\na,x,1,test\nb,x,2,\nc,y,3,gate\nd,y,2,train\n"))
    assert [row.line for row in manifest.for_training()] == [3, 4, 5]
    assert [row.line for row in manifest.of_patients(["2"])] == [3, 5]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["no rows"]),
        (f"{HEAD}\n\n", ["no rows"]),
        ("path,label\na,b\n", ["no column patient_id", "'path', 'label'"]),
        ("path;label;patient_id\na;b;c\n", ["no column path, label, patient_id", "path;label;patient_id"]),
        (f"{HEAD},label\na,b,1,c\n", ["'label' 2 times"]),
        (f"{HEAD},\na,b,1,c\n", ["without a name"]),
        (f"{HEAD}\na,b,1\na,,1\n", ["line 3", "empty label"]),
        (f"{HEAD}\na,b, \n", ["line 2", "empty patient_id"]),
        (f"{HEAD}\na,b\n", ["line 2", "2 cells", "the header 3"]),
        (f"{HEAD}\na,b,1,2\n", ["line 2", "4 cells"]),
        (f'{HEAD}\n"a,b,1\n', ["not CSV"]),
        (f'{HEAD}\na,"b\nc",1\n', ["line 3", "control character in label"]),
        (f"{HEAD}\na,b\0,1\n", ["line 2", "NUL"]),
        (f"{HEAD}\na,b,1\n".encode() + b"c,\xe9,2\n", ["line 3", "not UTF-8", "0xe9"]),
        (f"{HEAD},gestational_age_weeks\na,b,1,20\na,b,1,20w3\n", ["line 3", "'20w3'", "4 to 45"]),
        (f"{HEAD},gestational_age_weeks\na,b,1,nan\n", ["'nan'"]),
        (f"{HEAD},gestational_age_weeks\na,b,1,140\n", ["'140'"]),
        (f"{HEAD},evidence\na,b,1,maybe\n", ["'maybe'", "true, false"]),
        (f"{HEAD},seconds\na,b,1,-1\n", ["seconds '-1'", "since the exam began"]),
        (f"{HEAD},seconds\na,b,1,nan\n", ["seconds 'nan'", "or nothing for a still"]),
        (f"{HEAD},split\na,b,1,val\n", ["'val'", ", ".join(SPLITS)]),
        (f"{HEAD},split\na,b,p9,test\nc,b,p2,\nd,b,p9,\n", ["'p9'", "'test' (line 2)", "'train' (line 4)"]),
        (f"{HEAD}\n{'a' * 200_000},b,1\n", ["field larger"]),
    ],
)
def test_refuses_in_one_line_that_names_the_place(tmp_path, content, words):
    path = write(tmp_path, content)
    with pytest.raises(BadInputError) as caught:
        read_manifest(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in [str(path), *words]:
        assert word in message


def test_refuses_what_is_no_file(tmp_path):
    with pytest.raises(BadInputError, match=r"does not exist"):
        read_manifest(tmp_path / "none.csv")
    with pytest.raises(BadInputError, match=r"is a folder; give a labels\.csv"):
        read_manifest(tmp_path)
    with pytest.raises(BadInputError, match=r"cannot be read|does not exist"):
        read_manifest(tmp_path / ("x" * 5000))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused_in_one_line(tmp_path, tail):
    message = "none"
    try:
        read_manifest(write(tmp_path, f"{HEAD}\n".encode() + tail))
    except BadInputError as error:
        message = str(error)
    assert len(message.splitlines()) == 1


CELL = st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=8).filter(str.strip)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=6))
def test_a_written_table_is_read_back(tmp_path, table):
    buffer = io.StringIO()
    csv.writer(buffer).writerows([HEAD.split(","), *table])
    manifest = read_manifest(write(tmp_path, buffer.getvalue()))
    assert len(manifest.rows) == len(table)
    for row, (name, label, patient) in zip(manifest.rows, table, strict=True):
        assert row.path == tmp_path / name.strip()
        assert (len(row.label), len(row.patient_id)) <= (len(label) * 4, len(patient) * 4)
        assert row.label.strip() == row.label


def test_seconds_are_for_frames_of_a_clip(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(f"{HEAD},seconds\na,b,1,0.04\nc,b,1,\n")
    assert [row.seconds for row in read_manifest(path).rows] == [0.04, None]


def test_labels_that_a_model_does_not_have(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(f"{HEAD}\na,head,1\nb,liver,1\n")
    manifest = read_manifest(path)
    manifest.require_labels(("head", "liver"))
    with pytest.raises(BadInputError, match=r"labels\.csv line 3: label 'liver' is not in the contract \(head, leg\)"):
        manifest.require_labels(("head", "leg"))
