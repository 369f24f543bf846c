from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from tests.web.test_sign_in import sign_in, token_of


def named(api: TestClient, words: str) -> str:
    found: str = api.get("/api/documents", params={"q": words}).json()["documents"][0]["document_id"]
    return found


def test_an_upload_is_taken_and_listed(api: TestClient) -> None:
    sent = api.post(
        "/api/documents", files={"file": ("notes.md", b"# Notes\n\nHello.")}, data={"collection": "hr"}
    )
    assert sent.status_code == 202
    assert sent.json()["state"] == "queued"
    document = api.get(f"/api/documents/{sent.json()['document_id']}").json()
    assert (document["path"], document["collection"], document["is_searchable"]) == ("notes.md", "hr", False)
    assert api.get("/api/documents", params={"state": "queued"}).json()["total"] == 1


def test_an_upload_over_the_limit_is_refused_whatever_its_length_claims(api: TestClient) -> None:
    declared = api.post("/api/documents", files={"file": ("big.txt", b"x" * 3_100_000)})
    assert declared.status_code == 413
    assert "server.max_upload_bytes" in declared.json()["detail"]
    boundary = "b"
    head = f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="big.txt"\r\n\r\n'.encode()
    pieces = iter([head, *[b"x" * 500_000] * 7, f"\r\n--{boundary}--\r\n".encode()])
    kind = {"content-type": f"multipart/form-data; boundary={boundary}"}
    undeclared = api.post("/api/documents", content=pieces, headers=kind)
    assert undeclared.status_code == 413


@pytest.mark.parametrize(
    ("files", "fields"),
    [
        ({}, {"collection": "hr"}),
        ({"file": ("a.md", b"x")}, {"metadata": "[1]"}),
        ({"file": ("a.md", b"x")}, {"metadata": "{"}),
    ],
)
def test_a_wrong_upload_is_explained(
    api: TestClient, files: dict[str, tuple[str, bytes]], fields: dict[str, str]
) -> None:
    answer = api.post("/api/documents", files=files, data=fields)
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_request"


def test_a_body_that_is_no_form_is_refused(api: TestClient) -> None:
    broken = api.post(
        "/api/documents", content=b"x", headers={"content-type": "multipart/form-data; boundary=b"}
    )
    assert broken.status_code == 400
    assert api.post("/api/documents", json={"file": "x"}).status_code == 400


def test_a_deleted_document_is_gone(api: TestClient) -> None:
    document = named(api, "Kestrel")
    assert api.delete(f"/api/documents/{document}").status_code == 204
    gone = api.get(f"/api/documents/{document}")
    assert gone.status_code == 404
    assert gone.json()["code"] == "not_found"
    assert api.delete(f"/api/documents/{document}").status_code == 404


def test_a_pdf_is_shown_and_anything_else_downloaded(api: TestClient) -> None:
    pdf = api.get(f"/api/documents/{named(api, 'Kestrel')}/file")
    assert pdf.headers["content-type"] == "application/pdf"
    assert pdf.headers["content-disposition"].startswith('inline; filename="kestrel-ridge-2.pdf"')
    sent = api.post("/api/documents", files={"file": ('wö"rk.html', b"<script>alert(1)</script>")}).json()
    html = api.get(f"/api/documents/{sent['document_id']}/file")
    assert html.headers["content-type"] == "application/octet-stream"
    assert html.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in html.headers["content-security-policy"]
    assert html.headers["x-content-type-options"] == "nosniff"


def test_a_page_of_a_pdf_is_a_picture_that_browsers_keep(api: TestClient) -> None:
    address = f"/api/documents/{named(api, 'Travel policy 2026')}/pages/2"
    page = api.get(address)
    assert page.headers["content-type"] == "image/png"
    assert page.content.startswith(b"\x89PNG")
    assert api.get(address, headers={"if-none-match": page.headers["etag"]}).status_code == 304
    assert api.get(address.replace("pages/2", "pages/9")).status_code == 404
    assert api.get(address.replace("pages/2", "pages/0")).status_code == 422
    assert api.get(f"/api/documents/{named(api, 'Leave')}/pages/1").status_code == 404


def test_a_document_page_has_an_anchor_for_every_passage(api: TestClient, client: TestClient) -> None:
    document = named(api, "Returning an online order")
    page = client.get(f"/documents/{document}").text
    ordinals = [int(n) for n in re.findall(r'id="chunk-(\d+)"', page)]
    assert ordinals == list(range(12))
    assert "<strong>45 days</strong>" in page


def test_the_list_filters_by_words_and_state(client: TestClient) -> None:
    sign_in(client)
    part = client.get("/documents?q=travel", headers={"hx-request": "true"})
    assert "Travel policy 2026" in part.text
    assert "Kestrel" not in part.text
    assert "<html" not in part.text
    assert "No document matches" in client.get("/documents?q=%3Cscript%3E").text
    assert "<script>" not in client.get("/documents?q=%3Cscript%3E").text.replace(
        "<script defer", ""
    ).replace("<script type", "")
    assert client.get("/documents?state=nonsense").status_code == 200


def test_without_scripts_files_are_added_and_deleted(client: TestClient) -> None:
    sign_in(client)
    files = [("file", ("one.md", b"# One")), ("file", ("two.md", b"# Two"))]
    assert client.post("/documents", files=files, data={"csrf_token": "no"}).status_code == 403
    added = client.post("/documents", files=files, data={"csrf_token": token_of(client)})
    assert added.status_code == 303
    listed = client.get("/api/documents", params={"q": ".md", "state": "queued"}).json()["documents"]
    assert {document["path"] for document in listed} == {"one.md", "two.md"}
    target = f"/documents/{listed[0]['document_id']}/delete"
    assert client.post(target, data={"csrf_token": token_of(client)}).status_code == 303
    assert client.get("/api/documents", params={"state": "queued"}).json()["total"] == 1


def test_the_list_is_sorted_by_the_server_and_keeps_its_filter(client: TestClient) -> None:
    sign_in(client)

    def titles(query: str) -> list[str]:
        html = client.get(f"/documents?{query}").text
        return re.findall(r'<td class="title-cell"><a class="row-link"[^>]*>([^<]*)</a>', html)

    by_title = titles("sort=title&q=policy")
    assert by_title == ["Travel policy 2025", "Travel policy 2026"]
    assert titles("sort=-title&q=policy") == by_title[::-1]
    assert titles("sort=blob&q=policy") == titles("q=policy")
    html = client.get("/documents?sort=-size&q=policy&state=ready").text
    assert (
        'aria-sort="descending"><a class="sort" href="/documents?q=policy&amp;state=ready&amp;sort=size"'
        in html
    )
    assert 'href="/documents?q=policy&amp;sort=-size"' in html
