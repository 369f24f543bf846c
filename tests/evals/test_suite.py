from __future__ import annotations

import json
from pathlib import Path

import pytest

from causeway.errors import InvalidInputError, NotFoundError
from causeway.evals.facts import has_quote, says
from causeway.evals.record import digest_of
from causeway.evals.suite import Case, split_of
from causeway.evals.suite_files import find_suite, packaged_names, parse_suite, read_suite
from causeway.knowledge.ingest.parser import parse_file
from causeway.knowledge.ingest.reading import Reading

DOCUMENTS = Path(__file__).parents[2] / "samples" / "documents"


def _suite(**case: object) -> str:
    whole = {"name": "a", "inputs": {"question": "Why?"}, **case}
    return json.dumps({"name": "small", "cases": [whole]})


def test_a_dataset_of_pydantic_evals_is_a_suite() -> None:
    text = """
    # yaml-language-server: $schema=small_schema.json
    name: small
    cases:
    - name: first
      inputs: {question: 'How long?'}
      metadata: null
      expected_output: {facts: [[30 days, thirty days]]}
      evaluators: []
    - inputs: {question: 'What else?', filters: {type: pdf}}
    evaluators:
    - MaxDuration: {seconds: 2.5}
    - MaxCost: 0.01
    report_evaluators: []
    """
    suite = parse_suite(text, origin="small.yaml")
    assert [case.name for case in suite.cases] == ["first", "case 2"]
    assert (suite.budgets.seconds, suite.budgets.usd) == (2.5, 0.01)
    assert suite.cases[1].inputs.filters == {"type": "pdf"}


def test_lines_are_cases_and_the_files_name_is_the_suites(tmp_path: Path) -> None:
    file = tmp_path / "returns.jsonl"
    file.write_text('{"name": "a", "inputs": {"question": "Why?"}}\n\n{"inputs": {"question": "When?"}}\n')
    suite = read_suite(file)
    assert (suite.name, len(suite.cases)) == ("returns", 2)


def test_every_misspelt_field_is_named_with_its_case() -> None:
    text = _suite(expected_output={"fact": ["30 days"]}, metadata={"tag": ["x"]})
    with pytest.raises(InvalidInputError) as caught:
        parse_suite(text, origin="small.json")
    assert "case 'a': expected_output.fact: no such field" in caught.value.message
    assert "case 'a': metadata.tag: no such field" in caught.value.message


def test_names_used_twice_are_refused() -> None:
    cases = [{"name": name, "inputs": {"question": "Why?"}} for name in ("a", "b", "a")]
    with pytest.raises(InvalidInputError, match=r"used more than once: a;"):
        parse_suite(json.dumps({"name": "small", "cases": cases}), origin="small.json")


@pytest.mark.parametrize(
    ("text", "origin", "said"),
    [
        ("[1, 2]", "x.yaml", "a mapping with 'name' and 'cases'"),
        ("a: [", "x.yaml", "cannot be read"),
        ('{"name": "x", "cases": []}', "x.json", "cases"),
        ('{"inputs": {"question": "Why?"}}\n{oops', "x.jsonl", "line 2 is not JSON"),
        (
            _suite(expected_output={"refused": True, "facts": ["1"]}),
            "x.json",
            "has to be refused has no facts",
        ),
        (
            '{"name": "x", "cases": [{"inputs": {"question": "?"}}], "evaluators": ["Judge"]}',
            "x.json",
            "evaluator 'Judge' is not known",
        ),
    ],
)
def test_what_is_no_suite_is_refused_with_the_reason(text: str, origin: str, said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_suite(text, origin=origin)
    assert said in caught.value.message


def test_a_page_in_both_halves_is_refused() -> None:
    cases = [
        {"name": half, "inputs": {"question": "?"}, "metadata": {"page": "leave.md", "split": half}}
        for half in ("development", "held-out")
    ]
    with pytest.raises(InvalidInputError, match=r"leave\.md are in both halves"):
        parse_suite(json.dumps({"name": "x", "cases": cases}), origin="x.json")


def test_cases_of_one_page_fall_into_one_half() -> None:
    cases = [
        Case.model_validate({"name": f"{page} {n}", "inputs": {"question": "?"}, "metadata": {"page": page}})
        for page in map(str, range(40))
        for n in range(2)
    ]
    halves = split_of(cases)
    assert all(halves[f"{page} 0"] == halves[f"{page} 1"] for page in range(40))
    assert set(halves.values()) == {"development", "held-out"}


def test_an_unknown_suite_is_answered_with_those_there_are() -> None:
    with pytest.raises(NotFoundError, match="sample-company"):
        find_suite("nothing")


def test_every_packaged_suite_can_be_read() -> None:
    assert all(find_suite(name).cases for name in packaged_names())


def test_the_version_follows_the_cases() -> None:
    one, other = (parse_suite(_suite(inputs={"question": q}), origin="x.json") for q in ("Why?", "When?"))
    assert one.version == parse_suite(_suite(), origin="x.json").version != other.version


# --- the sample company's suite ----------------------------------------------------------------------


def test_the_sample_suite_has_fifty_questions_of_every_kind() -> None:
    cases = find_suite("sample-company").cases
    assert len(cases) == 50
    assert sum(case.expected_output.refused for case in cases) == 10
    assert sum(len(case.metadata.documents) > 1 for case in cases) == 10
    assert sum(bool(case.inputs.filters) for case in cases if case.expected_output.facts) == 10


def test_no_document_of_the_sample_suite_is_in_both_halves() -> None:
    cases = find_suite("sample-company").cases
    halves = split_of(cases)
    seen: dict[str, set[str]] = {}
    for case in cases:
        for document in {*case.metadata.documents, case.page}:
            seen.setdefault(document, set()).add(halves[case.name])
    assert {document for document, found in seen.items() if len(found) > 1} == set()
    assert sorted(list(halves.values()).count(half) for half in set(halves.values())) == [25, 25]


def test_every_quote_of_the_sample_suite_stands_in_its_document() -> None:
    cases = find_suite("sample-company").cases
    texts: dict[str, str] = {}
    missing = []
    for case in cases:
        for evidence in case.metadata.evidence:
            if evidence.document not in texts:
                path = DOCUMENTS / evidence.document
                parsed = parse_file(path, name=path.name, reading=Reading())
                texts[evidence.document] = "\n".join(block.text for block in parsed.blocks)
            if not has_quote(evidence.quote, texts[evidence.document]):
                missing.append((case.name, evidence.quote))
    assert missing == []


def test_every_reference_of_the_sample_suite_says_its_facts() -> None:
    cases = [case for case in find_suite("sample-company").cases if case.expected_output.facts]
    wrong = {
        case.name: fact
        for case in cases
        for fact in case.expected_output.facts
        if not says(case.expected_output.reference or "", fact)
    }
    assert wrong == {}


def test_a_case_is_the_same_after_it_was_kept_and_read() -> None:
    for case in find_suite("sample-company").cases:
        kept = Case.model_validate(json.loads(case.model_dump_json()))
        assert digest_of(kept) == digest_of(case)
