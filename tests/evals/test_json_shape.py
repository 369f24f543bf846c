from __future__ import annotations

import pytest

from causeway.errors import InvalidInputError
from causeway.evals.json_shape import misshapen

TICKET = {
    "type": "object",
    "required": ["kind", "tags"],
    "additionalProperties": False,
    "properties": {
        "kind": {"enum": ["bug", "wish"]},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 5}, "maxItems": 2},
        "score": {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 1}]},
    },
}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"kind": "bug", "tags": ["a"]}', ""),
        ('{"kind": "bug", "tags": [], "score": null}', ""),
        ("bug", "not JSON"),
        ('{"kind": "bug"}', "$.tags is missing"),
        ('{"kind": "other", "tags": []}', "$.kind is 'other'"),
        ('{"kind": "bug", "tags": [1]}', "$.tags[0] is not string"),
        ('{"kind": "bug", "tags": ["longer"]}', "$.tags[0] has 6 characters"),
        ('{"kind": "bug", "tags": ["a", "b", "c"]}', "$.tags has 3 items"),
        ('{"kind": "bug", "tags": [], "more": 1}', "$.more is not wanted"),
        ('{"kind": "bug", "tags": [], "score": 0}', "$.score is none of the 2 shapes"),
        ('{"kind": "bug", "tags": [], "score": true}', "$.score is none of the 2 shapes"),
    ],
)
def test_departures_are_named_by_place(text: str, said: str) -> None:
    found = misshapen(text, TICKET)
    assert said in found if said else found == ""


def test_a_keyword_that_would_not_be_checked_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="oneOf"):
        misshapen("1", {"oneOf": []})
