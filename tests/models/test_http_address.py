from __future__ import annotations

import pytest

from causeway.models.http_address import read_address, request_head
from causeway.models.http_failures import BadAddressError, BadHeaderError


@pytest.mark.parametrize(
    ("url", "authority", "port", "target"),
    [
        ("http://example.test", "example.test", 80, "/"),
        ("https://Example.test:443/v1", "example.test", 443, "/v1"),
        ("https://example.test:8443/a/b?x=1&y=a%20b", "example.test:8443", 8443, "/a/b?x=1&y=a%20b"),
        ("http://[::1]:8080/v1", "[::1]:8080", 8080, "/v1"),
        ("http://a.test/models/a b/ü?q=ü", "a.test", 80, "/models/a%20b/%C3%BC?q=%C3%BC"),
        ("http://a.test/deployments/gpt%2F4o/chat", "a.test", 80, "/deployments/gpt%2F4o/chat"),
        ("http://bücher.test/", "xn--bcher-kva.test", 80, "/"),
        ("http://me:pass@a.test/v1", "a.test", 80, "/v1"),
    ],
)
def test_an_address_is_taken_apart(url: str, authority: str, port: int, target: str) -> None:
    address = read_address(url)
    assert (address.authority, address.port, address.target) == (authority, port, target)
    assert address.is_tls == url.startswith("https")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/chat",
        "ftp://a.test",
        "http://",
        "http://a b.test",
        "http://a.test:x",
        "http://a.test:99999",
        "http://[::1",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(BadAddressError):
        read_address(url)


def test_credentials_in_an_address_become_a_header() -> None:
    assert read_address("http://me:p%40ss@a.test").credentials == "Basic bWU6cEBzcw=="
    assert read_address("http://a.test").credentials is None


def test_later_headers_win_whatever_their_case() -> None:
    head = request_head("GET", "/", [{"Host": "a", "X": "1"}, {"x": "2"}], has_body=False)
    assert head == b"GET / HTTP/1.1\r\nHost: a\r\nx: 2\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [{"a b": "c"}, {"a:": "b"}, {"": "b"}, {"a": "b\r\nc: d"}, {"a": "b\x00"}, {"Content-Length": "1"}],
)
def test_a_header_that_would_be_another_request_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(BadHeaderError):
        request_head("POST", "/", [headers], has_body=True)
