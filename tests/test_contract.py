from __future__ import annotations

import copy
import json
import math
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from edge_cns.contract import (
    Aggregation,
    ClassDefinition,
    ConformalRule,
    Contract,
    Decision,
    ExamRule,
    InputSpec,
    IntendedUse,
    NoveltyRule,
    ViewRule,
)
from edge_cns.errors import BadInputError, EdgeCnsError, UnsupportedError
from edge_cns.frames import Region
from edge_cns.strict_json import load_json

SCHEMA = json.loads(resources.files("edge_cns").joinpath("contract.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)

SPANS = st.none() | st.tuples(*(st.floats(1e-6, 1e6),) * 2).map(lambda pair: tuple(sorted(pair)))
NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12).filter(str.strip)
SIDES = st.integers(32, 1024)
REGIONS = st.builds(Region, st.integers(0, 9000), st.integers(0, 9000), st.integers(1, 9000), st.integers(1, 9000))
INPUTS = st.builds(InputSpec, SIDES, SIDES, st.sampled_from(["auto", "whole"]), letterbox=st.booleans()) | st.builds(
    InputSpec, SIDES, SIDES, st.just("fixed"), REGIONS, st.booleans()
)
SHARES = st.floats(0.001, 0.999)
UNCALIBRATED = st.builds(Decision, temperature=st.floats(0.01, 100))
AGGREGATIONS = st.builds(
    Aggregation,
    st.sampled_from(["mean_softmax", "majority_vote", "log_odds", "sustained_evidence"]),
    st.integers(1, 1000),
    st.floats(1e-3, 3600),
    st.floats(1e-3, 3600),
    st.floats(0, 0.99),
)


def calibrated(names: list[str]) -> st.SearchStrategy[Decision]:
    """Decisions that fit these classes."""
    thresholds = st.tuples(*(st.floats(0, 1) for _ in names))
    planes = st.lists(NAMES, min_size=2, max_size=4, unique=True).map(sorted).map(tuple)
    return st.builds(
        Decision,
        calibrated=st.just(True),
        temperature=st.floats(0.01, 100),
        model_sha256=st.just("0123456789abcdef" * 4),
        conformal=st.none() | st.builds(ConformalRule, SHARES, thresholds, st.just(tuple(names[:1]))),
        novelty=st.none() | st.builds(NoveltyRule, st.floats(-1e6, 1e6), SHARES),
        views=st.none() | st.builds(ViewRule, planes, SHARES),
        exam=st.none()
        | st.builds(ExamRule, AGGREGATIONS, thresholds, SHARES, st.none() | st.sampled_from(names), planes, SHARES),
    )


CONTRACTS = st.lists(NAMES, min_size=2, max_size=6, unique=True).flatmap(
    lambda names: st.builds(
        Contract,
        classes=st.tuples(*(st.builds(ClassDefinition, st.just(n), st.text(max_size=9)) for n in sorted(names))),
        input=INPUTS,
        intended_use=st.builds(
            IntendedUse,
            statement=st.text(max_size=30),
            planes=st.lists(st.text(max_size=9), max_size=3).map(tuple),
            gestational_age_weeks=SPANS,
            modes=st.lists(st.text(max_size=3), max_size=3).map(tuple),
            mm_per_pixel=SPANS,
            phantom=st.booleans(),
        ),
        decision=UNCALIBRATED | calibrated(names),
    )
)


def example() -> Contract:
    return Contract(
        classes=(ClassDefinition("head", "a head"), ClassDefinition("spine")),
        input=InputSpec(224, 192, "fixed", Region(10, 20, 300, 400)),
        intended_use=IntendedUse("Research.", ("transthalamic",), (18.0, 22.5), mm_per_pixel=(0.1, 0.4)),
    )


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def changed(path: str, value: object) -> dict:
    """The example's JSON with one field, named by a dotted path, set; ``...`` removes it."""
    whole = copy.deepcopy(example().to_json())
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = whole
    for part in parents:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return whole


def test_the_schema_is_a_schema():
    Draft202012Validator.check_schema(SCHEMA)


@given(CONTRACTS)
def test_json_and_back(contract):
    value = contract.to_json()
    assert Contract.from_json(value) == contract
    assert Contract.from_bytes(encoded(value)) == contract
    VALIDATOR.validate(value)


BOTH_REFUSE = [
    ("extra", 1),
    ("classes", ...),
    ("classes", []),
    ("classes", [{"name": "head", "definition": ""}]),
    ("classes", {"head": ""}),
    ("classes.0", "head"),
    ("classes.0.name", ""),
    ("classes.0.name", " \t"),
    ("classes.0.name", "he\nad"),
    ("classes.0.name", 3),
    ("classes.0.definition", None),
    ("classes.0.definition", ...),
    ("classes.0.colour", "red"),
    ("classes.1", {"name": "head", "definition": "a head"}),
    ("input", None),
    ("input.height", 31),
    ("input.height", 1025),
    ("input.height", "224"),
    ("input.height", True),
    ("input.height", None),
    ("input.width", 224.5),
    ("input.region", "Auto"),
    ("input.region", None),
    ("input.region", 1),
    ("input.region", "auto"),  # while fixed_region is given
    ("input.fixed_region", None),  # while region is fixed
    ("input.fixed_region.x", -1),
    ("input.fixed_region.width", 0),
    ("input.fixed_region.width", ...),
    ("input.fixed_region", [10, 20, 300, 400]),
    ("input.letterbox", 1),
    ("input.letterbox", "yes"),
    ("decision.temperature", 0),
    ("decision.temperature", 0.009),
    ("decision.temperature", 101),
    ("decision.temperature", -1),
    ("decision.temperature", "1"),
    ("decision.temperature", True),
    ("decision.temperature", None),
    ("decision.calibrated", 0),
    ("decision.threshold", 0.5),
    ("intended_use.statement", None),
    ("intended_use.planes", "transthalamic"),
    ("intended_use.planes", [1]),
    ("intended_use.gestational_age_weeks", [18]),
    ("intended_use.gestational_age_weeks", [18, 20, 22]),
    ("intended_use.gestational_age_weeks", ["18", "22"]),
    ("intended_use.gestational_age_weeks", [0, 22]),
    ("intended_use.mm_per_pixel", [-0.1, 0.4]),
    ("intended_use.mm_per_pixel", 0.1),
    ("intended_use.phantom", "no"),
    ("schema_version", 2),
    ("schema_version", "1"),
    ("schema_version", True),
    ("schema_version", ...),
]


@pytest.mark.parametrize(("path", "value"), BOTH_REFUSE, ids=lambda part: str(part)[:40])
def test_schema_and_program_refuse_alike(path, value):
    wrong = changed(path, value)
    assert not VALIDATOR.is_valid(wrong)
    with pytest.raises(EdgeCnsError) as caught:
        Contract.from_bytes(encoded(wrong))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("classes.0.name", "zebra", "sorted and distinct"),
        ("classes.0.name", "spine", "sorted and distinct"),
        ("intended_use.gestational_age_weeks", [22, 18], "lowest and the highest"),
        ("input.height", 224.0, "expected int"),
    ],
)
def test_what_only_the_program_can_refuse(path, value, text):
    with pytest.raises(BadInputError, match=text):
        Contract.from_bytes(encoded(changed(path, value)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": -Infinity}', "-Infinity is not JSON"),
        ('{"a": 1, "a": 2}', "a key occurs twice"),
        ('{"b": {"a": 1, "a": 2}}', "a key occurs twice"),
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ('\ufeff{"a": 1}', "BOM"),
        ("[" * 200_000, "not valid JSON"),
        ("1" * 10_000, "not valid JSON"),
    ],
    ids=lambda part: part[:20],
)
def test_strict_json(text, message):
    with pytest.raises(BadInputError, match=message) as caught:
        load_json(text.encode(), "x.json")
    assert str(caught.value).startswith("x.json is not valid JSON")
    assert "\n" not in str(caught.value)


def test_json_is_utf8():
    with pytest.raises(BadInputError, match="not valid JSON"):
        load_json('{"a": "é"}'.encode("latin-1"), "x.json")


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 400])
def test_numbers_beyond_a_double_are_refused(number):
    text = json.dumps(example().to_json()).replace('"temperature": 1.0', f'"temperature": {number}')
    assert number in text
    with pytest.raises(BadInputError, match="temperature"):
        Contract.from_bytes(text.encode())


def test_an_error_names_the_field_and_the_value():
    with pytest.raises(
        BadInputError, match=r"contract\.intended_use\.gestational_age_weeks\[1\] is 'x', expected float"
    ):
        Contract.from_json(changed("intended_use.gestational_age_weeks", [18, "x"]))
    with pytest.raises(BadInputError, match=r"contract\.input has an unknown field 'depth'.*newer edge-cns"):
        Contract.from_json(changed("input.depth", 3))
    with pytest.raises(BadInputError, match=r"contract\.input lacks the field 'height'"):
        Contract.from_json(changed("input.height", ...))
    with pytest.raises(BadInputError, match=r"contract is list, expected an object"):
        Contract.from_json([])


def test_another_version_is_unsupported_not_bad():
    with pytest.raises(UnsupportedError, match="schema_version is 2"):
        Contract.from_json(changed("schema_version", 2))


@pytest.mark.parametrize("temperature", [math.nan, math.inf, 0.0, -1.0])
def test_a_temperature_divides(temperature):
    with pytest.raises(BadInputError, match="temperature"):
        Decision(temperature=temperature)


def test_at_most_256_classes():
    names = [f"{i:03d}" for i in range(257)]

    def build(count: int) -> Contract:
        return Contract(tuple(ClassDefinition(name) for name in names[:count]), InputSpec(64, 64), IntendedUse("x"))

    assert len(build(256).class_names) == 256
    for count in (0, 1, 257):
        with pytest.raises(BadInputError, match=f"{count} classes"):
            build(count)
