"""Whose exam it is: found again by frame, handed to subscribers, and told by nothing."""

from __future__ import annotations

from firmware_bridge.dicom.studies import Names, Place, Studies, Study
from tests.firmware_bridge.dicom.material import NAME, NUMBER, US, US_CLIP, identity, study


def test_frames_are_found_again():
    made = study(frames=30)
    assert made.place(0) == Place(US_CLIP, "1.2.3.1.1", "1.2.3.1.1.1", 1)
    assert made.place(29).number == 30
    assert made.place(30) == Place(US, "1.2.3.1.1", "1.2.3.1.1.2", None)
    assert made.place(31) is None
    assert Study(identity()).place(0) is None
    late = Study(identity())
    late.shown(identity(), 100, 2)
    assert late.place(99) is None
    assert late.place(100).number == 1


def test_an_object_that_broke_off_keeps_its_numbers_apart():
    made = Study(identity())
    made.shown(identity("1.1"), 0, 30)
    made.shown(identity("1.2"), 12, 5)
    assert made.place(11).instance == "1.1"
    assert (made.place(12).instance, made.place(12).number) == ("1.2", 1)


def test_subscribers_hear_of_exams_and_others_nothing():
    studies = Studies()
    studies.begin("before", study())
    reader = studies.subscribe(reviewed=True)
    assert studies.reviewed
    made = study()
    studies.begin("a", made)
    assert reader.find("before") is None
    assert reader.find("a") is made
    reader.forget("a")
    reader.forget("a")
    assert reader.find("a") is None
    studies.unsubscribe(reader)
    studies.unsubscribe(reader)
    studies.begin("b", made)
    assert reader.find("b") is None
    assert not studies.reviewed


def test_what_nobody_fetches_does_not_pile_up():
    studies = Studies()
    reader = studies.subscribe(reviewed=False)
    for number in range(1000):
        studies.begin(str(number), study())
    assert reader.find("0") is None
    assert reader.find("999") is not None


def test_names_differ_and_tell_nothing():
    names, others = Names(), Names()
    of = {"PatientID": NUMBER}
    assert names.key("1.2.3", of) == names.key("1.2.3", of) != others.key("1.2.3", of)
    assert names.key("1.2.3", of) != names.key("1.2.3", {"PatientID": "4"})
    assert len(names.key("1.2.3", of)) == 16
    assert [names.exam("k"), names.exam("k"), names.exam("m"), names.exam("k")] == ["k", "k-2", "m", "k-3"]


def test_nothing_shows_itself_by_accident():
    shown = f"{study()!r} {identity()!r} {study().place(0)!r} {study()}"
    assert NAME not in shown
    assert NUMBER not in shown
    assert "1.2.3" not in shown
