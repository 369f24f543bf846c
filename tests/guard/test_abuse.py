"""What is said outright is found, and what only sounds like it is not."""

from __future__ import annotations

import pytest

from causeway.guard.abuse import abuse


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("I will kill you.", "threat"),
        ("We're going to hurt your family", "threat"),
        ("Why don't you just kill yourself", "threat"),
        ("People who ask that deserve to die; you deserve to die", "threat"),
        ("I know where you live.", "threat"),
        ("You are an idiot.", "insult"),
        ("you\u2019re such a complete moron", "insult"),
        ("Customers are stupid, as everybody knows.", "insult"),
        ("You absolute loser!", "insult"),
        ("Oh, shut up.", "insult"),
        ("What the fuck is this?", "profanity"),
        ("Utter bullsh1t.", "profanity"),
        ("a$$hole", "profanity"),
    ],
)
def test_abuse_is_found(text: str, kind: str) -> None:
    assert kind in abuse(text)


@pytest.mark.parametrize(
    "text",
    [
        "To stop the service, kill the process and remove its lock.",
        "This knife will kill the mould; it cannot hurt you.",
        "The dummy pole in the Kestrel Ridge 2 is not load-bearing.",
        "We will destroy the footage after 30 days.",
        "You are not stupid; the manual is unclear.",
        "They are useless in the rain: buy a waterproof jacket instead of these shoes.",
        "Trains to Scunthorpe and Penistone leave at nine.",
        "The pig iron is shipped as scrap.",
        "If the battery is dead, drop it at any of our shops.",
        "Shoot us a message if you are too late.",
        "The documents don't say. I found no passage that answers this question.",
        "Burn the waste wood; it will not harm them.",
        "Cocktail dresses, shuttlecocks and Essex assessments",
    ],
)
def test_what_only_sounds_like_it_is_left_alone(text: str) -> None:
    assert abuse(text) == ()


def test_the_gravest_comes_first_and_each_once() -> None:
    assert abuse("I will kill you, you idiot. You are an idiot. Fuck.") == ("threat", "insult", "profanity")
