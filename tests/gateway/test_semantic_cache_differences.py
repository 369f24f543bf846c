"""Which differences forbid a semantic hit; how many pairs that guards and lets through: ``bench/semantic_cache.py``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.gateway.differences import Difference, find_difference
from causeway.gateway.lexicon import Lexicon, packaged
from causeway.gateway.wording import read

PAIRS = [
    json.loads(line)
    for file in sorted((Path(__file__).parent / "pairs").glob("*.jsonl"))
    for line in file.read_text(encoding="utf-8").splitlines()
]
USUAL = 0.94
"""A similarity that both paraphrases and near misses have."""


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return packaged()


def _difference(lexicon: Lexicon, ours: str, theirs: str, similarity: float = USUAL) -> Difference | None:
    return find_difference(read(ours, lexicon), read(theirs, lexicon), lexicon, similarity=similarity)


@pytest.mark.parametrize(
    ("ours", "theirs", "kind"),
    [
        ("What is 15% of 240?", "What is 15% of 420?", "number"),
        ("Can I book two rooms for one night?", "Can I book three rooms for one night?", "number"),
        ("Convert 5 miles to kilometers.", "Convert 5 kilometers to miles.", "number"),
        ("How many episodes does season 2 have?", "How many seasons have 2 episodes?", "order"),
        ("Can I smoke here?", "Can't I smoke here?", "negation"),
        ("Which foods contain gluten?", "Which foods do not contain gluten?", "negation"),
        ("Can I cook rice without oil?", "Can I cook rice with oil?", "negation"),
        ("How do I enable the alarm?", "How do I disable the alarm?", "word"),
        ("Is tea bad for you?", "Is tea good for you?", "word"),
        ("Is the bank open before noon?", "Is the bank open after noon?", "word"),
        ("Do all birds fly?", "Do some birds fly?", "word"),
        ("Is the shop open today?", "Is the shop open tomorrow?", "word"),
        ("Who is the mayor of Graz?", "Who is the mayor of Linz?", "name"),
        ('What does "unique" mean?', 'What does "ubiquitous" mean?', "name"),
        ("What does error E-4017 mean?", "What does error E-4018 mean?", "name"),
        ("What does `git pull` do?", "What does `git fetch` do?", "name"),
        ("Is [CARD_1] valid?", "Is [CARD_2] valid?", "name"),
        ("How do I read a file in C?", "How do I read a file in C++?", "name"),
        ("Why was the tower built?", "When was the tower built?", "kind"),
        ("How old is the pope?", "How tall is the pope?", "word"),
        ("Can I sign it by fax?", "Must I sign it by fax?", "kind"),
        ("Who was the mayor of Graz?", "Who is the mayor of Graz?", "tense"),
        ("How many people can attend the workshop?", "How many people attended the workshop?", "tense"),
        ("What is your name?", "What is my name?", "person"),
        ("When do flights to Rome leave?", "When do flights from Rome leave?", "direction"),
        ("How do I convert a string to an integer?", "How do I convert an integer to a string?", "direction"),
        ("Can I book a table for six?", "Can I book a table at six?", "direction"),
        ("Is Rust faster than Go?", "Is Go faster than Rust?", "direction"),
        ("Did Google acquire YouTube?", "Did YouTube acquire Google?", "order"),
        ("Who reports to Alice?", "Who does Alice report to?", "kind"),
        ("Wann öffnet die Bibliothek?", "Wann schließt die Bibliothek?", "word"),
        ("¿Cuál es la capital de Colombia?", "¿Cuál es la capital de Bolivia?", "name"),
        ("What is the weather?", "Wie ist das Wetter?", "name"),
        ("Why?", "How?", "nothing"),
    ],
)
def test_what_a_reply_depends_on_forbids_a_hit(lexicon: Lexicon, ours: str, theirs: str, kind: str) -> None:
    for one, other in ((ours, theirs), (theirs, ours)):
        found = _difference(lexicon, one, other)
        assert found is not None
        assert found.kind == kind


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("How do I reset my password?", "What are the steps to reset my password?"),
        ("How do I reset my password?", "Could you please tell me how to reset my password?"),
        ("What's the capital of Peru?", "What is the capital city of Peru?"),
        ("Can I pay by card?", "Am I allowed to pay by card?"),
        ("Who wrote Hamlet?", "Who is the author of Hamlet?"),
        ("Did Google acquire YouTube?", "Was YouTube acquired by Google?"),
        ("How tall is the tower?", "What is the height of the tower?"),
        (
            "How do lists and tuples differ in Python?",
            "What is the difference between a list and a tuple in Python?",
        ),
        ("Why isn't it working?", "Why is it not working?"),
        ("How many GB are in a TB?", "How many gigabytes are in a terabyte?"),
        ("What is twenty percent of 50?", "What is 20% of 50?"),
        ("Translate “bread” into French.", "How do you say 'bread' in French?"),
        ("Do I need to sign by 3 May?", "Must I sign by May 3rd?"),
        ("Wann öffnet die Bibliothek?", "Bitte sag mir, wann die Bibliothek öffnet."),
        ("I can't log in to my account", "I am unable to sign in to my account."),
    ],
)
def test_other_words_for_the_same_do_not(lexicon: Lexicon, ours: str, theirs: str) -> None:
    assert _difference(lexicon, ours, theirs) is None
    assert _difference(lexicon, theirs, ours) is None


def test_a_difference_names_the_words_of_either_question(lexicon: Lexicon) -> None:
    found = _difference(lexicon, "Is the new release slower?", "Is the new release faster?")
    assert found == Difference("word", ("slower",), ("faster",))
    assert str(found) == "word: slower / faster"


def test_a_word_more_is_allowed_only_between_questions_that_are_very_near(lexicon: Lexicon) -> None:
    ours, theirs = "How do I stop nginx?", "How do I stop the nginx service?"
    assert _difference(lexicon, ours, theirs, 0.95) == Difference("word", (), ("service",))
    assert _difference(lexicon, ours, theirs, 0.97) is None


@pytest.mark.parametrize("word", ["Berlin", "not", "3", "weekly only", "[EMAIL_1]"])
def test_a_telling_word_more_is_never_allowed(lexicon: Lexicon, word: str) -> None:
    assert (
        _difference(lexicon, "How do I stop the server?", f"How do I stop the server {word}?", 0.999)
        is not None
    )


def test_near_misses_of_the_pair_sets_are_told_apart(lexicon: Lexicon) -> None:
    missed = [
        (pair["asked"], pair["stored"])
        for pair in PAIRS
        if not pair["same"] and _difference(lexicon, pair["asked"], pair["stored"]) is None
    ]
    near_misses = sum(not pair["same"] for pair in PAIRS)
    assert near_misses > 800
    assert len(missed) <= near_misses // 100, missed


def test_most_paraphrases_of_the_pair_sets_are_let_through(lexicon: Lexicon) -> None:
    same = [pair for pair in PAIRS if pair["same"]]
    found = sum(_difference(lexicon, pair["asked"], pair["stored"]) is None for pair in same)
    assert found >= 0.65 * len(same)


def test_the_order_of_two_questions_does_not_matter(lexicon: Lexicon) -> None:
    for pair in PAIRS[::5]:
        one = _difference(lexicon, pair["asked"], pair["stored"])
        other = _difference(lexicon, pair["stored"], pair["asked"])
        assert (one is None) == (other is None), pair


@given(st.text(max_size=120))
def test_any_text_can_be_read_and_differs_from_itself_in_nothing(text: str) -> None:
    lexicon = packaged()
    wording = read(text, lexicon)
    found = find_difference(wording, wording, lexicon, similarity=1.0)
    assert found is None or found.kind == "nothing"


@given(
    st.lists(
        st.sampled_from(
            [
                "how",
                "what",
                "is",
                "the",
                "a",
                "from",
                "to",
                "and",
                "or",
                "5",
                "not",
                "use",
                "best",
                "difference",
                "between",
            ]
        ),
        max_size=40,
    )
)
def test_any_words_can_be_read(words: list[str]) -> None:
    lexicon = packaged()
    wording = read(" ".join(words), lexicon)
    assert all(word for word in wording.words)
    assert not any(word.startswith(("\ue000",)) for word in wording.words)


@pytest.mark.parametrize(
    ("word", "lemma"),
    [
        ("making", "make"),
        ("planning", "plan"),
        ("opened", "open"),
        ("queries", "query"),
        ("boxes", "box"),
        ("wrote", "write"),
        ("cancelled", "cancel"),
        ("colours", "color"),
        ("definition", "define"),
        ("news", "news"),
        ("string", "string"),
    ],
)
def test_forms_of_a_word_have_one_lemma(lexicon: Lexicon, word: str, lemma: str) -> None:
    assert lexicon.lemma(word) == lemma
