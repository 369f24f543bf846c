from __future__ import annotations

import pytest

from causeway.errors import InvalidInputError
from causeway.prompts.rendering import names_used, render
from causeway.prompts.template_rules import FILTERS, check

VALUES = {
    "text": "Two tents",
    "number": 3,
    "half": 0.5,
    "flag": False,
    "nothing": None,
    "names": ["Ben", "Ada", "Ada"],
    "person": {"name": "Ada", "items": "tents", "age": 36},
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ text }} {{ number }} {{ half }} {{ flag }} {{ nothing }}", "Two tents 3 0.5 false none"),
        ("{{ person.name }} {{ person['age'] }} {{ person.items }}", "Ada 36 tents"),
        ("{% for n in names %}{{ loop.index }}{{ n }}{% if not loop.last %}, {% endif %}{% endfor %}", "1Ben, 2Ada, 3Ada"),
        ("{% for n in names if n != 'Ada' %}{{ n }}{% else %}nobody{% endfor %}", "Ben"),
        ("{% for k in person %}{{ k }} {% endfor %}", "name items age "),
        ("{% if number > 2 and not flag %}yes{% elif flag %}maybe{% else %}no{% endif %}", "yes"),
        ("{{ 'many' if names | length > 1 else 'one' }}", "many"),
        ("{{ names | unique | sort | join(', ') }}", "Ada, Ben"),
        ("{{ names | first }}{{ names | last }}{{ names | reverse | first }}", "BenAdaAda"),
        ("{{ [names[0]] | tojson }} {{ person | tojson }}", '["Ben"] {"name": "Ada", "items": "tents", "age": 36}'),
        ("{{ text | upper | trim }}{{ text | lower | title }}{{ 'x' | capitalize }}", "TWO TENTSTwo TentsX"),
        ("{{ text | replace('Two', 'Six') | truncate(6, '.') }}", "Six t."),
        ("{{ 'a\\nb' | indent(2) }}", "a\n  b"),
        ("{{ missing | default('none given') }}", "none given"),
        ("{{ missing is defined }} {{ text is defined }} {{ nothing is none }} {{ 4 is divisibleby(2) }}", "false true true true"),
        ("{{ (-2.567) | abs | round(1) }} {{ '4' | int }} {{ '0.5' | float }}", "2.6 4 0.5"),
        ("{% for i in range(2) %}{{ i }}{% endfor %}{% for i in range(1, 6, 2) %}{{ i }}{% endfor %}", "01135"),
        ("{{ 'Two' in text }}{{ 'Cy' not in names }}", "truetrue"),
        ("{# a note with {{ marks #}{{ '{{' }}", "{{"),
        ("a {%- if true -%} b {%- endif +%} c", "ab c"),
        ("{{ 'a }} b' }}", "a }} b"),
    ],
)  # fmt: skip
def test_what_templates_may_do(template: str, expected: str) -> None:
    assert render(template, VALUES) == expected


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ text }}\n{{ text.strip() }}", "line 2 of a message: 'strip(...)' is a call"),
        ("{% set x = 1 %}", "'{% set %}' is not for prompts"),
        ("{{ text | nope }}", "the filter 'nope' is not for prompts; there are abs, capitalize"),
        ("{{ text is safe }}", "the test 'safe' is not for prompts"),
        ("{{ text is not safe }}", "the test 'safe' is not for prompts"),
        ("{{ names }}", "loop over it, join it, or write '| tojson'"),
        ("{{ nobody }}", "`nobody` is undefined"),
        ("{{ [] | first }}", "first and last need a list that is not empty"),
        ("{{ 'x' | int }}", "the filter 'int' cannot use a str"),
        ("{{ names[1:] | tojson }}", "cannot be cut by [:]"),
        ("{{ text", "'{{' is never closed"),
        ("{% if text %}", "unexpected end of input"),
        ("{% endfor %}", "closes nothing"),
        ("{{ text ? 1 }}", "'? 1' cannot be read"),
        ("{% for a in names %}" * 4 + "{% endfor %}" * 4, "more than 3 loops inside each other"),
    ],
)
def test_what_they_may_not_is_said_with_its_place(template: str, says: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        render(template, VALUES)
    assert says in refused.value.message


def test_an_error_shows_no_values() -> None:
    with pytest.raises(InvalidInputError) as refused:
        render("{{ secret }}{{ nobody }}", {"secret": "hunter2"})
    assert "hunter2" not in f"{refused.value}{refused.value.__cause__!r}{refused.value.__cause__}"


def test_the_callers_values_stay_as_they_were() -> None:
    names = ["a", "b"]
    render("{% for n in names | reverse %}{{ n }}{% endfor %}", {"names": names})
    assert names == ["a", "b"]


def test_the_names_that_a_template_uses() -> None:
    used = names_used(
        "{% for p in passages %}{{ p.n }}{{ loop.index }}{% endfor %}{% if q %}{{ range(2) }}{% endif %}"
    )
    assert used == {"passages", "q"}


def test_every_filter_of_the_list_is_there() -> None:
    for name in FILTERS - {
        "replace",
        "first",
        "last",
        "count",
        "length",
        "sort",
        "unique",
        "join",
        "reverse",
    }:
        assert render(f"{{{{ 1 | {name} }}}}", {})
    check("{{ x | d('a') }}")


def test_a_large_prompt_of_an_ordinary_kind_is_rendered() -> None:
    passages = [{"n": n, "heading": "Returns", "text": "You may return it. " * 60} for n in range(200)]
    template = "{% for p in passages %}\n[{{ p.n }}] {{ p.heading }}\n{{ p.text }}\n{% endfor %}"
    assert len(render(template, {"passages": passages})) > 200_000
