"""What an HTTP response means for the messages that were sent."""

import orjson
import pytest

from bridge.sinks.base import Rejected, Remark, Retry, Scope
from bridge.sinks.http.response import (
    Refused,
    Response,
    classify_batch_response,
    classify_response,
    retry_after_s,
)
from edgewire.clock import parse_ms
from edgewire.redact import KnownSecrets

URL = "http://ingest/x"


NOW_MS = parse_ms("2026-03-01T12:00:00Z")


def answer(status: int, body: object = b"", after_s: float | None = None) -> Response:
    return Response(URL, status, after_s, body if isinstance(body, bytes) else orjson.dumps(body))


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_success_is_delivered(status: int) -> None:
    assert classify_response(answer(status)) is None
    assert classify_batch_response(answer(status), 3) == {}


@pytest.mark.parametrize("status", [400, 409, 412, 413, 414, 422, 431])
def test_only_these_are_the_fault_of_the_message(status: int) -> None:
    said = classify_response(answer(status, {"error": "humidity: 120"}))
    assert isinstance(said, Rejected)
    assert said.reason.startswith(f"{URL} answers {status}: humidity: 120")
    assert ("replay it" in said.reason) == (status in (409, 412))
    whole = classify_batch_response(answer(status, {"error": "humidity: 120"}), 3)
    assert whole == Refused(said, at_once=True)


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504, 599])
def test_these_pass(status: int) -> None:
    said = classify_response(answer(status, after_s=3))
    assert isinstance(said, Retry)
    assert (said.cause, said.after_s, said.needs_operator) == (str(status), 3, False)
    whole = classify_batch_response(answer(status), 3)
    assert isinstance(whole, Retry)
    assert whole.scope is Scope.QUEUE


def test_a_server_that_fails_on_one_message_holds_back_its_device_alone() -> None:
    failed, busy = classify_response(answer(500)), classify_response(answer(503))
    assert isinstance(failed, Retry)
    assert isinstance(busy, Retry)
    assert (failed.scope, busy.scope) == (Scope.DEVICE, Scope.QUEUE)


@pytest.mark.parametrize("status", [301, 401, 403, 404, 405, 410, 418])
def test_the_rest_is_for_a_person_to_look_at(status: int) -> None:
    for said in (classify_response(answer(status)), classify_batch_response(answer(status), 3)):
        assert isinstance(said, Retry)
        assert said.needs_operator


def test_lines_are_rejected_one_by_one() -> None:
    body = {
        "stored": 1,
        "known": 1,
        "rejected": 1,
        "items": [{"line": 2, "status": "rejected", "error": "no seq"}, {"line": 0, "status": "stored"}],
    }
    assert classify_batch_response(answer(200, body), 3) == {2: Rejected("no seq")}


def test_an_id_that_belongs_to_other_content_is_rejected_too() -> None:
    items = [{"line": 1, "status": "conflict", "error": "other content"}]
    body = {"stored": 1, "known": 1, "rejected": 0, "conflicts": 1, "unlisted": 0, "items": items}
    assert classify_batch_response(answer(200, body), 3) == {1: Rejected("other content")}


def test_a_list_that_is_cut_short_refuses_the_batch() -> None:
    body = {"stored": 0, "known": 0, "rejected": 3, "unlisted": 2, "items": [{"line": 0, "status": "rejected"}]}
    assert isinstance(classify_batch_response(answer(200, body), 3), Refused)


@pytest.mark.parametrize(
    "body",
    [
        {"stored": 1, "known": 0, "rejected": 0, "items": []},
        {"stored": 1, "known": 1, "rejected": 0, "conflicts": 1, "items": []},
        {"stored": 2, "known": 0, "rejected": 1, "items": []},
        {"stored": 2, "known": 0, "rejected": 1, "items": [{"line": 3, "status": "rejected"}]},
        {"items": [{"line": -1, "status": "rejected"}]},
    ],
)
def test_an_account_that_does_not_add_up_is_not_taken_for_success(body: object) -> None:
    said = classify_batch_response(answer(200, body), 3)
    assert isinstance(said, Retry)
    assert said.cause == "account"


@pytest.mark.parametrize("body", [b"", b"fine", b"[]", b'{"ok":true}', b'{"items":7}'])
def test_a_server_without_an_account_has_taken_all(body: bytes) -> None:
    assert classify_batch_response(answer(200, body), 3) == {}


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("999999999", 3600.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("+5", None),
        ("1.5", 1.5),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("7, 9", None),
        ("1e3", None),
        ("NaN", None),
        ("Infinity", None),
        ("Sun, 01 Mar 1970 12:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
        ("Sun, 32 Mar 2026 12:00:30 GMT", None),
        ("Sun, 01 Mar 2026 25:61:61 GMT", None),
        ("Sunday, 01-Mar-26 12:00:30 GMT", 30.0),
        ("Sun Mar  1 12:00:30 2026", 30.0),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, NOW_MS) == seconds


def test_what_a_server_repeats_of_a_secret_is_hidden_but_decides_all_the_same() -> None:
    secrets = KnownSecrets(["S3CRET", "errors"])
    refused = classify_response(answer(400, {"error": "who is S3CRET?"})._replace(secrets=secrets))
    assert isinstance(refused, Rejected)
    assert refused.reason == f"{URL} answers 400: who is ***?"
    doubted = classify_response(answer(200, {"errors": True})._replace(secrets=secrets))
    assert isinstance(doubted, Remark)
