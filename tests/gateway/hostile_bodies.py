"""Bodies that a door to models is sent by mistake or by malice; `SECRET` stands where a prompt would."""

from __future__ import annotations

import json
from typing import Any

SECRET = "correct-horse-battery-staple"


def _chat(**fields: Any) -> bytes:
    asked = {"model": "words", "messages": [{"role": "user", "content": SECRET}], **fields}
    return json.dumps(asked).encode()


def _nested(depth: int, opened: bytes, closed: bytes) -> bytes:
    return b'{"model": "words", "messages": ' + opened * depth + closed * depth + b"}"


HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "blank": b"   \r\n\t",
    "null": b"null",
    "true": b"true",
    "a number": b"1",
    "a string": f'"{SECRET}"'.encode(),
    "a list": b"[]",
    "cut off": _chat()[:-10],
    "two documents": _chat() + _chat(),
    "trailing comma": b'{"model": "words",}',
    "single quotes": f"{{'model': '{SECRET}'}}".encode(),
    "a comment": b'{"model": "words" /* ' + SECRET.encode() + b" */}",
    "a form": b"model=words&messages=" + SECRET.encode(),
    "utf-8 mark": b"\xef\xbb\xbf" + _chat(),
    "utf-16": _chat().decode().encode("utf-16"),
    "latin-1": _chat(x="\u00e9").decode("unicode-escape").encode("latin-1"),
    "overlong utf-8": b'{"model": "\xc0\xaf", "messages": []}',
    "bytes that are no text": b"\xff\xfe\x00\x01" + SECRET.encode(),
    "surrogate bytes": b'{"model": "\xed\xa0\x80", "messages": []}',
    "lone high surrogate": b'{"model": "\\ud800", "messages": []}',
    "lone low surrogate": b'{"model": "\\udc00", "messages": []}',
    "surrogate name": b'{"\\ud800": 1}',
    "nan": b'{"model": "words", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
    "infinity": b'{"model": "words", "messages": [], "temperature": -Infinity}',
    "a float beyond floats": b'{"model": "words", "messages": [], "temperature": 1e999}',
    "an integer beyond reason": b'{"model": "words", "messages": [], "seed": ' + b"9" * 6000 + b"}",
    "an integer beyond 64 bits": _chat(seed=2**80),
    "negative tokens": _chat(max_tokens=-1),
    "tokens beyond counting": _chat(max_tokens=2**40),
    "an exponent as tokens": b'{"model": "words", "messages": [], "max_tokens": 1e1000000}',
    "lists nested for ever": _nested(50_000, b"[", b"]"),
    "objects nested for ever": _nested(50_000, b'{"a":', b"1}")[:-1],
    "lists nested just too deep": _nested(101, b"[", b"]"),
    "options nested deep": _chat(logit_bias=None).replace(b"null", b"[" * 400 + b"]" * 400),
    "a million empty objects": b'{"model": "words", "messages": [' + b"{}," * 1_000_000 + b"{}]}",
    "two million numbers": b'{"model": "words", "input": [' + b"1," * 2_000_000 + b"1]}",
    "a text without an end": b'{"model": "words", "messages": "' + b'\\"' * 1_500_000 + b"\\",
    "twenty thousand messages": _chat(messages=[{"role": "user", "content": SECRET}] * 20_000),
    "no model": b'{"messages": [{"role": "user", "content": "x"}]}',
    "a model that is a number": _chat(model=7),
    "a model that is a list": _chat(model=[SECRET]),
    "a model nobody has": _chat(model=SECRET),
    "a model with a line in it": _chat(model="a\r\nx-injected: 1"),
    "a model a megabyte long": _chat(model="m" * 1_000_000),
    "a model of zeros": _chat(model="\u0000"),
    "messages that are text": _chat(messages=SECRET),
    "messages that are numbers": _chat(messages=[1, 2]),
    "messages that are null": _chat(messages=None),
    "an unknown role": _chat(messages=[{"role": SECRET, "content": "x"}]),
    "content that is a number": _chat(messages=[{"role": "user", "content": 7}]),
    "parts that are null": _chat(messages=[{"role": "user", "content": [None]}]),
    "parts without a type": _chat(messages=[{"role": "user", "content": [{"text": SECRET}]}]),
    "parts of an unknown type": _chat(messages=[{"role": "user", "content": [{"type": SECRET}]}]),
    "a picture that is a list": _chat(
        messages=[{"role": "user", "content": [{"type": "image_url", "image_url": [SECRET]}]}]
    ),
    "tools that are text": _chat(tools=SECRET),
    "a tool without a name": _chat(tools=[{"type": "function", "function": {}}]),
    "a stream that is a word": _chat(stream=SECRET),
    "many choices": _chat(n=10**9),
    "a format that is a word": _chat(response_format=SECRET),
}
