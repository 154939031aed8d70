from __future__ import annotations

import shutil
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_cns.errors import BadInputError, EdgeCnsError, UnsupportedError
from edge_cns.runtime.recording.codec import pack
from edge_cns.runtime.recording.layout import HEAD_BYTES, HEADER_BYTES, Kind
from edge_cns.runtime.recording.reader import Recording
from edge_cns.runtime.recording.seal import make_seal
from edge_cns.runtime.recording.store import SegmentStore
from tests.runtime.recording.made import KEY, MB

OPENING = pack({"header": {"bundle": "a.cns"}, "stands": {"mode": "", "backend": ""}})


def write(folder, key=KEY, limit=MB, records=6, closed=True):
    folder.mkdir()
    store = SegmentStore(folder, make_seal(key), limit, lambda: OPENING)
    for n in range(records):
        store.append(Kind.OBSERVATION, pack({"n": n}, bytes([n]) * 500))
    if closed:
        store.close(pack({}))
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """One segment, sealed."""
    return write(tmp_path_factory.mktemp("r") / "one")


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """One segment, not encrypted."""
    return write(tmp_path_factory.mktemp("r") / "bare", key=None)


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Segments of two records each, sealed."""
    return write(tmp_path_factory.mktemp("r") / "several", limit=20_000, records=20)


@pytest.fixture
def copy(several, tmp_path):
    return shutil.copytree(several, tmp_path / "copy")


def read(folder, key=KEY):
    recording = Recording(folder, key)
    stored = [(s.kind, dict(s.value), bytes(s.attached)) for s in recording]
    return stored, recording.cut_short


def refused(folder, match, key=KEY):
    with pytest.raises(BadInputError, match=match) as caught:
        read(folder, key)
    assert "\n" not in str(caught.value)


def one_line_or_read(folder, key):
    """What was read; ``None`` if it was refused, with one line."""
    said = ""
    try:
        return read(folder, key)
    except EdgeCnsError as error:
        said = str(error)
    assert said
    assert "\n" not in said
    return None


def test_what_was_written_is_read(one, bare, several):
    assert read(one) == read(bare, None)
    stored, cut = read(one)
    assert cut == ""
    assert [kind for kind, *_ in stored] == [Kind.HEADER] + [Kind.OBSERVATION] * 6 + [Kind.END]
    assert [value["n"] for kind, value, _ in read(several)[0] if kind is Kind.OBSERVATION] == list(range(20))
    assert Recording(one, KEY).header == {"bundle": "a.cns"}


def test_key_and_seal_have_to_fit(one, bare):
    refused(one, "000001.ecr was encrypted with another key", KEY[::-1])
    refused(one, "is encrypted: give its --key FILE", None)
    refused(bare, "not encrypted: leave --key out", KEY)


def test_nothing_of_an_encrypted_recording_can_be_read(one, bare):
    assert b"bundle" in (bare / "000001.ecr").read_bytes()
    assert b"bundle" not in (one / "000001.ecr").read_bytes()


def test_records_cannot_be_left_out_swapped_or_doubled(one, tmp_path):
    content = (one / "000001.ecr").read_bytes()
    size = HEAD_BYTES + 16 + len(pack({"n": 0}, bytes(500)))
    first = HEADER_BYTES + HEAD_BYTES + 16 + len(OPENING)
    places = (0, first, first + size, first + 2 * size, len(content))
    start, a, b, rest = (content[at:to] for at, to in pairwise(places))
    (tmp_path / "r").mkdir()
    for changed in (start + b + rest, start + b + a + rest, start + a + a + b + rest, a + b + rest):
        (tmp_path / "r" / "000001.ecr").write_bytes(changed)
        refused(tmp_path / "r", "000001.ecr")


def test_segments_cannot_be_left_out_swapped_or_brought_from_elsewhere(copy, tmp_path):
    (copy / "000002.ecr").rename(tmp_path / "second")
    refused(copy, "000002.ecr is missing between others")
    (copy / "000003.ecr").rename(copy / "000002.ecr")
    (tmp_path / "second").rename(copy / "000003.ecr")
    refused(copy, "000002.ecr: it is of another recording, or of another place")
    other = write(tmp_path / "other", limit=20_000, records=20)
    shutil.copy(other / "000002.ecr", copy)
    refused(copy, "000002.ecr: it is of another recording")


def test_a_segment_before_others_has_to_be_whole(copy):
    path = copy / "000002.ecr"
    content = path.read_bytes()
    for length in (10, HEADER_BYTES, HEADER_BYTES + 5, len(content) - HEAD_BYTES - 18, len(content) - 1):
        path.write_bytes(content[:length])
        refused(copy, "000002.ecr.*others follow")
    path.write_bytes(content + b"\0")
    refused(copy, "000002.ecr.*something follows")


def test_the_end_may_be_missing_and_that_is_said(copy):
    whole, _ = read(copy)
    last = sorted(copy.iterdir())[-1]
    content = last.read_bytes()
    last.write_bytes(content[:-10])
    stored, cut = read(copy)
    assert (stored, last.name in cut) == (whole[:-1], True)
    last.write_bytes(content[:-10] + bytes(5000))  # blocks that never reached the disk
    refused(copy, f"{last.name}, record")
    last.write_bytes(content[:HEADER_BYTES] + bytes(5000))
    assert last.name in read(copy)[1]
    last.write_bytes(b"")
    assert "ends within its header" in read(copy)[1]
    last.unlink()
    stored, cut = read(copy)
    assert (stored[-1][0], "no segment follows" in cut) == (Kind.NEXT, True)


def test_the_oldest_may_be_missing(copy):
    (copy / "000001.ecr").unlink()
    assert Recording(copy, KEY).first == 2
    assert read(copy)[1] == ""


def test_no_recording(tmp_path, one):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    (tmp_path / "empty" / "1.ecr").touch()
    refused(tmp_path / "empty", "holds no recording")
    refused(tmp_path / "none", "does not exist")
    refused(one / "000001.ecr", "is no folder")
    (tmp_path / "empty" / "000001.ecr").touch()
    refused(tmp_path / "empty", "cut short before it began")


def test_a_link_or_a_folder_is_no_segment(tmp_path, one):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "000001.ecr").symlink_to(one / "000001.ecr")
    with pytest.raises(OSError, match=r"symbolic|loop|links"):
        read(tmp_path / "r")
    (tmp_path / "r" / "000001.ecr").unlink()
    (tmp_path / "r" / "000001.ecr").mkdir()
    refused(tmp_path / "r", "not a regular file")


def test_another_format_is_told_from_damage(tmp_path, bare):
    (tmp_path / "r").mkdir()
    content = bytearray((bare / "000001.ecr").read_bytes())
    content[9] = 2
    (tmp_path / "r" / "000001.ecr").write_bytes(content)
    with pytest.raises(UnsupportedError, match=r"000001.ecr was written in format 2, this program reads 1"):
        read(tmp_path / "r", None)


@pytest.mark.parametrize("sealed", [True, False])
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_found_or_is_an_early_end(one, bare, tmp_path, sealed, data):
    folder, key = (one, KEY) if sealed else (bare, None)
    whole, _ = read(folder, key)
    content = bytearray((folder / "000001.ecr").read_bytes())
    cut = data.draw(st.booleans())
    if cut:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    target = tmp_path / "damaged"
    target.mkdir(exist_ok=True)
    (target / "000001.ecr").write_bytes(content)
    if (found := one_line_or_read(target, key)) is not None:
        assert cut, "a changed bit went unnoticed"
        stored, early = found
        assert early
        assert stored == whole[: len(stored)]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.binary(max_size=300), beginning=st.integers(0, 200))
def test_junk_is_one_line(bare, tmp_path, junk, beginning):
    target = tmp_path / "junk"
    target.mkdir(exist_ok=True)
    (target / "000001.ecr").write_bytes((bare / "000001.ecr").read_bytes()[:beginning] + junk)
    found = one_line_or_read(target, None)
    assert found is None or found[1]


def test_a_length_is_not_believed(tmp_path):
    """A head may be made up, with its CRC: no memory is given to it."""
    from edge_cns.runtime.recording.layout import Head, SegmentHeader

    (tmp_path / "r").mkdir()
    header = SegmentHeader(0, 1, bytes(16), bytes(8), bytes(8)).pack()
    (tmp_path / "r" / "000001.ecr").write_bytes(header + Head(2**32 - 1, 2, 0).pack(0) + bytes(100))
    tracemalloc.start()
    refused(tmp_path / "r", "cut short before it began", None)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5 * MB
