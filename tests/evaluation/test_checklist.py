from __future__ import annotations

from edge_cns.evaluation.checklist import GUIDELINES

SECTIONS = {
    "headline",
    "flow",
    "classes",
    "figures",
    "patients",
    "prevalence",
    "calibration",
    "abstention",
    "novelty",
    "exams",
    "subgroups",
    "heatmaps",
    "examples",
    "sets",
    "cross-validation",
    "settings",
}


def numbers(items) -> list[str]:
    return [item.number for item in items]


def test_every_item_of_both_guidelines_once() -> None:
    stard, claim = GUIDELINES
    plain = {number.rstrip("abcd") for number in numbers(stard.items)}
    assert plain == {str(i) for i in range(1, 41)}
    lettered = {"15abcd", "16abc", "17ab", "26ab", "40ab"}
    assert [n for n in numbers(stard.items) if n[-1].isalpha()] == [
        group[:2] + letter for group in sorted(lettered) for letter in group[2:]
    ]
    assert len(stard.items) == len(set(numbers(stard.items))) == 48
    assert numbers(claim.items) == [str(i) for i in range(1, 45)]


def test_each_item_is_answered_by_a_section_that_exists_or_is_the_authors() -> None:
    for guideline in GUIDELINES:
        for item in guideline.items:
            assert set(item.sections) <= SECTIONS, item
            assert item.sections or item.yours, item


def test_an_item_is_answered_only_where_the_report_has_the_section() -> None:
    claim = {item.number: item for item in GUIDELINES[1].items}
    assert claim["31"].answered_by({"heatmaps", "settings"}) == ["heatmaps"]
    assert claim["31"].answered_by({"settings"}) == []
