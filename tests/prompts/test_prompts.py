from __future__ import annotations

import pytest

from causeway.errors import InvalidInputError, NotFoundError
from causeway.prompts.prompt import parse
from causeway.prompts.rendering import render
from causeway.prompts.shelf import Shelf

TEXT = "---\nname: greet\nversion: 2\n---\n=== system\nBe kind.\n\n=== user\nHello {{ name }}\n"


def test_a_prompt_makes_one_message_a_section() -> None:
    prompt = parse(TEXT, origin="greet.prompt")
    assert prompt.reference == "greet@2"
    assert [(m.role, m.content) for m in prompt.messages({"name": "Ada"})] == [
        ("system", "Be kind."),
        ("user", "Hello Ada"),
    ]


def test_values_are_not_templates() -> None:
    assert render("{{ text }}", {"text": "{{ 7 * 7 }} <b>"}) == "{{ 7 * 7 }} <b>"


def test_a_missing_value_is_an_error_and_not_an_empty_place() -> None:
    with pytest.raises(InvalidInputError, match="name"):
        parse(TEXT, origin="greet.prompt").messages({})


def test_an_endless_template_runs_out_of_fuel() -> None:
    loop = "{% for i in range(1000) %}{% for j in range(1000) %}x{% endfor %}{% endfor %}"
    with pytest.raises(InvalidInputError, match="fuel"):
        render(loop, {})


@pytest.mark.parametrize(
    "text", ["no front matter", "---\nname: x\n---\n=== user\nhi\n", "---\nname: x\nversion: 1\n---\nhi\n"]
)
def test_a_malformed_prompt_names_its_file(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"greet\.prompt"):
        parse(text, origin="greet.prompt")


def test_the_packaged_prompts_parse_and_the_answer_prompt_is_there() -> None:
    assert Shelf.packaged().get("answer").version >= 1


def test_an_unknown_prompt_lists_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match="answer"):
        Shelf.packaged().get("nothing")
