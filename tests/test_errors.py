"""Errors of others on a line of ours."""

from __future__ import annotations

import errno

import pytest

from edge_cns.errors import BadInputError, brief, told


def test_brief_is_one_line_of_a_bounded_length():
    assert brief(ValueError("a\n  b\tc")) == "a b c"
    assert len(brief(ValueError("x" * 999))) == 200
    assert len(brief(ValueError("x" * 999), 12)) == 12


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (BadInputError("give a name"), "give a name"),
        (OSError(errno.ENOSPC, "No space left on device", "/home/somebody/scan.png"), "No space left on device"),
        (OSError("odd"), "OSError: odd"),
        (KeyError("logits"), "KeyError: 'logits'"),
    ],
)
def test_told_names_the_type_of_a_stranger_and_no_path(error, text):
    assert told(error) == text
