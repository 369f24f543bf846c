from __future__ import annotations

import pytest

from causeway.knowledge.answer.asked import Kind, parts, values


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How much does the pot set weigh?", Kind.WEIGHT),
        ("How much does the pot set cost?", Kind.MONEY),
        ("How many days of leave do I get?", Kind.DURATION),
        ("How much notice do I have to give?", Kind.DURATION),
        ("How many people work there?", Kind.COUNT),
        ("When does the lease run out?", Kind.DATE),
        ("On what date is the salary of December paid?", Kind.DATE),
        ("At what time does the shift start?", Kind.CLOCK),
        ("Who approves a claim?", Kind.NAME),
        ("What is the extension of the workshop?", Kind.PHONE),
        ("What is our customer number with them?", Kind.CODE),
        ("What is the lead time of the weaver?", Kind.DURATION),
        ("What is the comfort temperature of the bag?", Kind.TEMPERATURE),
        ("What percentage goes into the pension?", Kind.SHARE),
        ("How do I pair the terminal?", Kind.ANY),
        ("Wie viel kostet das Zelt?", Kind.ANY),
    ],
)
def test_the_words_of_a_question_tell_what_kind_of_value_it_asks_for(question: str, kind: Kind) -> None:
    (part,) = parts(question)
    assert kind in part.kinds


@pytest.mark.parametrize(
    ("kind", "statement", "found"),
    [
        (Kind.MONEY, "It costs £1,500, and 24p a mile.", {"£1", "24p"}),
        (Kind.WEIGHT, "Packed weight: 1.64 kg", {"1.64 kg"}),
        (Kind.WEIGHT, "The pot set costs £32.", set()),
        (Kind.DURATION, "You have **five paid days**.", {"five paid days"}),
        (Kind.PHONE, "Ring Tomasz, ext. 255", {"ext. 255"}),
        (Kind.CODE, "Our account: RP-F88", {"rp-f88"}),
        (Kind.CLOCK, "Freeze at 18:00 on Saturday", {"18:00"}),
        (Kind.DATE, "by 30 June 2026", {"30 june", "2026"}),
    ],
)
def test_a_statement_has_values_of_a_kind(kind: Kind, statement: str, found: set[str]) -> None:
    assert values(frozenset({kind}), statement) == found


def test_a_question_of_two_parts_is_cut_and_what_leans_keeps_what_it_leans_on() -> None:
    first, second = parts("How many weeks does a resole take, and what does it cost?")
    assert (first.text, second.text) == ("How many weeks does a resole take", "what does it cost?")
    assert second.query == "How many weeks does a resole take what does it cost?"
    assert (Kind.DURATION in first.kinds, Kind.MONEY in second.kinds) == (True, True)


def test_parts_that_stand_alone_are_searched_for_alone() -> None:
    first, second = parts("How much float goes into each till, and how much petty cash does a shop keep?")
    assert (first.query, second.query) == (first.text, second.text)


def test_what_is_only_told_belongs_to_every_part() -> None:
    first, second = parts("I feel ill and my shift starts at nine. Whom do I contact, and how early?")
    assert first.query.startswith("I feel ill and my shift starts at nine. Whom")
    assert second.query.startswith("I feel ill and my shift starts at nine. Whom")


@pytest.mark.parametrize(
    "question",
    [
        "How is it packed and shipped?",
        "When PAY-207 appears, after how long are duplicates refunded?",
        "What do Aster, Birch and Cedar have in common?",
        "What? When? Where? Who? Why? How much?",
    ],
)
def test_what_cannot_be_cut_well_stays_whole(question: str) -> None:
    (part,) = parts(question)
    assert (part.text, part.query) == (question, question)


@pytest.mark.parametrize(
    ("question", "thing"),
    [
        ("What is the password of the guest network?", "password"),
        ("How many windows does the warehouse have?", "windows"),
        ("Which bank issues the cards?", "bank"),
        ("What is the price of the tent?", ""),
    ],
)
def test_the_thing_asked_for_is_known_by_name_unless_it_is_a_measure(question: str, thing: str) -> None:
    assert parts(question)[0].thing == thing
