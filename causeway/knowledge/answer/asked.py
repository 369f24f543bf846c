"""What a question asks for: its parts, and for each the kind of value that can answer it.

'How much does it weigh, and who makes it?' asks for a weight and for a name. A statement without a weight cannot answer
the first, however many words it shares with it, so the kind tells answerable questions from near misses where relevance
does not (docs/adr/0034-what-a-question-asks-for.md). Rules and no model: they cost microseconds. They know English; a
question in another language asks for `Kind.ANY`, which every statement may answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from causeway.knowledge.answer.follow_up import leans


class Kind(StrEnum):
    """A kind of value."""

    MONEY = "money"
    SHARE = "share"
    DURATION = "duration"
    WEIGHT = "weight"
    LENGTH = "length"
    VOLUME = "volume"
    TEMPERATURE = "temperature"
    SPEED = "speed"
    AMOUNT = "amount"
    COUNT = "count"
    DATE = "date"
    CLOCK = "clock"
    NAME = "name"
    PHONE = "phone"
    MAIL = "mail"
    CODE = "code"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that a question asks.

    Attributes:
        text: Its words, as they stand in the question.
        query: The same so that it can be searched for: with the question before it where it leans on that.
        kinds: What may answer it; `Kind.ANY` alone when its words do not tell.
        thing: What is asked for by name: 'account number' of 'What is the account number of Ridgeway Plant?'; empty
            when its words do not tell.
    """

    text: str
    query: str
    kinds: frozenset[Kind]
    thing: str = ""

    @property
    def is_typed(self) -> bool:
        """Whether its words tell what kind of value it asks for."""
        return Kind.ANY not in self.kinds


_NUMBER = (
    r"(?:\d[\d,.]*|an?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen"
    r"|sixteen|eighteen|twenty|thirty|forty|fifty|sixty|ninety|half an?|every)"
)
_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:t(?:ember)?)?"
    r"|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
)
_DAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?"
_MONEY = r"(?:[£$€¥]\s?\d|\b(?:GBP|USD|EUR|CHF)\s?\d|\b\d[\d,.]*\s?(?:p|pence|cents?|pounds?|euros?|dollars?|GBP|USD|EUR)\b)"

_VALUES: Final[dict[Kind, re.Pattern[str]]] = {
    Kind.MONEY: re.compile(_MONEY, re.IGNORECASE),
    Kind.SHARE: re.compile(
        r"\d\s?%|\bper ?cent\b|\b(?:a|an|one|two|three|four) (?:third|quarter|fifth|sixth|eighth|tenth)s?\b"
        r"|\b(?:half|double|twice|times)\b",
        re.IGNORECASE,
    ),
    Kind.DURATION: re.compile(
        rf"\b{_NUMBER}(?:\s?(?:to|-|\u2013)\s?{_NUMBER})?[\s-]?(?:more |full |further )?(?:working |calendar |paid |school |trail |extra "
        r"|carer's )?(?:second|minute|min|hour|h|night|day|week|fortnight|month|quarter|season|year)s?\b|\bat once\b|\bimmediately\b"
        r"|\bfor life\b|\b(?:daily|weekly|monthly|yearly|straight away|same day)\b",
        re.IGNORECASE,
    ),
    Kind.WEIGHT: re.compile(
        rf"\b{_NUMBER}\s?(?:k?g|mg|kilo(?:gram)?s?|grams?|t|tonnes?|lbs?|oz)\b", re.IGNORECASE
    ),
    Kind.LENGTH: re.compile(
        rf"\b{_NUMBER}\s?(?:[mckµ]?m|kilomet\w+|met(?:re|er)s?|centimet\w+|millimet\w+|miles?|inch(?:es)?|f(?:oo|ee)t)\b",
        re.IGNORECASE,
    ),
    Kind.VOLUME: re.compile(
        rf"\b{_NUMBER}\s?(?:[mc]?l|lit(?:re|er)s?|millilit\w+|gallons?)\b", re.IGNORECASE
    ),
    Kind.TEMPERATURE: re.compile(r"-?\d+\s?°|\bdegrees?\b|\b(?:freezing|zero)\b", re.IGNORECASE),
    Kind.SPEED: re.compile(r"\d\s?(?:km/h|m/s|mph|knots?|bar|g/h|ml/h|W|kW|hPa|l/min)\b", re.IGNORECASE),
    Kind.AMOUNT: re.compile(rf"\d|\b{_NUMBER}\b", re.IGNORECASE),
    Kind.COUNT: re.compile(
        r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|once|twice|none|all"
        r"|both|every|no more than)\b",
        re.IGNORECASE,
    ),
    Kind.DATE: re.compile(
        rf"\b\d{{1,2}}(?:st|nd|rd|th)?\b(?: of)? {_MONTH}\b|\b{_MONTH} \d{{1,4}}\b|\b{_MONTH}\b|\b(?:19|20)\d\d\b|\b{_DAY}\b"
        r"|\b\d{1,2}(?:st|nd|rd|th)\b|\bday (?:\d+|\w+)\b|\b(?:Christmas|Easter|spring|summer|autumn|winter)\b",
    ),
    Kind.CLOCK: re.compile(r"\b\d{1,2}[:.]\d\d\b|\bnoon\b|\bmidnight\b|\b\d{1,2} ?[ap]\.?m\b", re.IGNORECASE),
    Kind.NAME: re.compile(
        r"\b[A-Z][\w'\u2019-]+(?:\s+[A-Z][\w'\u2019-]+)*|\b(?:leads?|heads?|manager|director|officer|partner|team|supervisor"
        r"|colleagues?|owner|customers?|fitters?|people|person|anyone|nobody|bank|approver)\b"
    ),
    Kind.PHONE: re.compile(
        r"\b0\d{3,5}[\s-]?\d{3}[\s-]?\d{0,4}\b|\+\d[\d\s-]{6,}|\bext(?:ension|\.)?:? ?\d{2,5}\b",
        re.IGNORECASE,
    ),
    Kind.MAIL: re.compile(r"[\w.+-]+@[\w-]+\.\w+|\b[\w-]+\.(?:example|com|org|net|de|uk)\b"),
    Kind.CODE: re.compile(r"\b(?=[\w./-]*\d)[A-Z0-9][\w./-]*\b"),
}
_ASKS: Final[tuple[tuple[re.Pattern[str], frozenset[Kind]], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), frozenset(kinds))
    for pattern, kinds in (
        (r"\bhow (?:heavy|light)\b|\bhow much\b.*\bweigh", (Kind.WEIGHT,)),
        (r"\bhow (?:wide|tall|deep|thick|broad)\b", (Kind.LENGTH,)),
        (r"\bhow high\b", (Kind.LENGTH, Kind.MONEY, Kind.SHARE)),
        (r"\bhow (?:far|big|large)\b", (Kind.LENGTH, Kind.AMOUNT)),
        (r"\bhow (?:cold|warm|hot)\b", (Kind.TEMPERATURE,)),
        (r"\bhow (?:strong|fast|powerful)\b", (Kind.SPEED, Kind.LENGTH, Kind.AMOUNT)),
        (
            r"\bhow many (?:\w+ )?(?:second|minute|hour|night|day|week|month|year)s?\b|\bhow much (?:\w+ )?(?:time|notice|leave)\b",
            (Kind.DURATION,),
        ),
        (
            r"\bhow (?:quickly|soon|early|old|often|late)\b|\bafter how\b|\bfor how long\b",
            (Kind.DURATION, Kind.CLOCK, Kind.COUNT, Kind.DATE),
        ),
        (r"\bhow long\b.*\b(?:lasts?|takes?)\b", (Kind.DURATION,)),
        (r"\bhow long\b", (Kind.DURATION, Kind.LENGTH, Kind.DATE)),
        (r"\bhow many lit(?:re|er)s?\b|\bhow much (?:water|fuel|liquid|gas)\b", (Kind.VOLUME, Kind.WEIGHT)),
        (r"\bhow many (?:tonnes|kilos?|kilograms?|grams?)\b", (Kind.WEIGHT, Kind.COUNT)),
        (r"\bhow many\b|\bhow much (?:of|carbon)\b", (Kind.COUNT,)),
        (r"\bhow much\b.*\b(?:costs?|charges?|spen[dt]|earns?)\b", (Kind.MONEY,)),
        (r"\bhow much\b", (Kind.MONEY, Kind.SHARE)),
        (r"\b(?:at what|what) time\b|\bwhich hours?\b", (Kind.CLOCK,)),
        (
            r"\b(?:by|since|until|till|from) when\b|^\W*(?:and )?when\b|[,;] (?:and )?when\b"
            r"|\b(?:what|which) (?:date|day|month|year)\b",
            (Kind.DATE, Kind.CLOCK, Kind.DURATION),
        ),
        (r"^\W*(?:\w+ )?(?:who|whom|whose)\b|[.,;] (?:and )?(?:who|whom|whose)\b", (Kind.NAME,)),
        (r"\b(?:extension|(?:tele)?phone|mobile)(?: number)?\b(?! calls?)", (Kind.PHONE,)),
        (r"\b(?:e-?mail|mail address|web ?site)\b", (Kind.MAIL,)),
        (
            r"\b(?:sku|reason code|(?:policy|account|customer|part|order|article|serial) (?:number|no)|wh(?:ich|at) code)\b",
            (Kind.CODE,),
        ),
        (r"\bwh(?:ich|at) .*(?:\blead time|\bnotice period|\bwarranty period)\b", (Kind.DURATION,)),
        (r"\bwh(?:ich|at) .*\bweights?\b", (Kind.WEIGHT,)),
        (r"\bwh(?:ich|at) .*\btemperatures?\b", (Kind.TEMPERATURE,)),
        (r"\bwh(?:ich|at) .*\b(?:wind limit|wind speed|pressure)\b", (Kind.SPEED, Kind.AMOUNT)),
        (
            r"\bwh(?:ich|at) (?:\w+ )?(?:percent\w*|per cent|proportion|share|interest|margin|rebate)\b",
            (Kind.SHARE, Kind.MONEY),
        ),
        (
            r"\bwh(?:ich|at)\b.*\b(?:price|cost|fee|rent|salary|wage|budget|earns?|pays? for|turnover|worth)\b",
            (Kind.MONEY,),
        ),
        (
            r"\bwh(?:ich|at)\b.*\b(?:charges?|levy|penalty|deduct|profit|refund)\b",
            (Kind.MONEY, Kind.SHARE),
        ),
        (
            r"\bwh(?:ich|at) (?:\w+ ){1,6}(?:limit|maximum|minimum|ceiling|height|length|width|rate|result|allowance|most)\b",
            (Kind.AMOUNT,),
        ),
    )
)
_CUT: Final = re.compile(
    r"[,;]\s+(?:and\s+)?(?=(?:at |by |for |from |in |on |since |to |until |up to |within |after )?(?:how|what|when|where|which|who|whom|why"
    r"|does|do|did|can|may|is|are|will|must|should)\b)|(?<=[.?!])\s+(?=[A-Z\"'(])|\s+and\s+(?=(?:at |by |for |from )?(?:how|what|when|where|which"
    r"|who|whom|why)\b)",
    re.IGNORECASE,
)
_IS_ASKING: Final = re.compile(
    r"^\W*(?:(?:and|but|so|at|by|for|from|in|on|since|to|until|up to|within|after|under|of)\s+)*(?:how|what|when|where|which|who|whom|whose|why"
    r"|do(?:es)?|did|can|could|may|must|is|are|was|were|will|would|should|has|have)\b",
    re.IGNORECASE,
)
_IS_TOLD: Final = re.compile(
    r"^\W*(?:when|if|where|while)\b(?!\s+(?:is|are|was|were|do|does|did|can|may|must|will|should|has|have)\b)",
    re.IGNORECASE,
)
_MOST_PARTS: Final = 4


_THINGS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(?:what|which) (?:is|are|was|were) (?:the |our |my |your )?((?:[\w'\u2019-]+ ){0,3}?[\w'\u2019-]+)"
        r"(?= (?:of|for|at|in|on|to|with|when|that|during|by|between)\b|\?|,)",
        r"\b(?:what|which) ((?:[\w'-]+ ){0,2}?[\w'-]+)"
        r"(?= (?:does|do|did|is|are|was|were|has|have|can|may|should|must|will|to|covers?|issues?|of|for)\b)",
        r"\bhow many ((?:[\w'-]+ ){0,2}?[\w'-]+)"
        r"(?= (?:does|do|did|is|are|was|were|has|have|can|may|should|must|will|come|of|work|in|at)\b)",
        r"\bwh(?:o|en|ere) (?:\w+ )?(?:is|was|are|has to|has|names|owns|supplies|takes|does|did) (?:the )?"
        r"((?:[\w'\u2019-]+ ){0,3}?[\w'\u2019-]+)(?= (?:of|for|at|in|on|to|with)\b|\?|,)",
    )
)
_MEASURES: Final = re.compile(
    r"\b(?:prices?|costs?|fees?|charges?|rent|limit|maximum|minimum|ceiling|numbers?|phone|extension|date|times?|percentage"
    r"|temperature|weights?|lead|codes?|person|rate|days?|weeks?|months?|years?|difference|most|highest|largest|biggest)\b",
    re.IGNORECASE,
)
"""Words for kinds of values: a statement that has the value need not have the word."""


def parts(question: str) -> tuple[Part, ...]:
    """What ``question`` asks, in its order; one part, the whole of it, when it cannot be cut.

    What is only told ('I booked a trip in January.') belongs to every question after it.
    """
    told: list[str] = []
    asked: list[str] = []
    for piece in (piece.strip() for piece in _CUT.split(question) if piece and piece.strip()):
        if _IS_TOLD.search(piece) and not piece.endswith("?"):
            told.append(piece)
        elif _IS_ASKING.search(piece) or (piece.endswith("?") and not asked):
            asked.append(piece)
        elif asked:
            asked[-1] = f"{asked[-1]}, {piece}"
        else:
            told.append(piece)
    if not 1 < len(asked) <= _MOST_PARTS:
        return (_part(asked[0] if len(asked) == 1 else question, question, question),)
    before = " ".join(told)
    found: list[Part] = []
    for piece in asked:
        context = before
        if found and (leans(piece) or len(piece.split()) < _FEW_WORDS):
            context = f"{before} {asked[0]}".strip()
        found.append(_part(piece, piece, f"{context} {piece}".strip()))
    return tuple(found)


_FEW_WORDS: Final = 6
"""A part of fewer words, such as 'and what does it cost?', is searched for beside the first."""


def _part(asking: str, text: str, query: str) -> Part:
    named = next((match[1] for pattern in _THINGS if (match := pattern.search(asking))), "")
    return Part(text, query, _kinds(asking), _MEASURES.sub(" ", named).strip())


def _kinds(text: str) -> frozenset[Kind]:
    for pattern, kinds in _ASKS:
        if pattern.search(text):
            return kinds
    return frozenset({Kind.ANY})


def values(kinds: frozenset[Kind], statement: str) -> frozenset[str]:
    """The values of ``kinds`` that ``statement`` has, lower case, one space between words."""
    found = (match[0] for kind in kinds if kind in _VALUES for match in _VALUES[kind].finditer(statement))
    return frozenset(" ".join(value.lower().split()) for value in found)
