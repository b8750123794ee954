"""What counts as success where the status is not enough: the table of statuses, fields of JSON, items, and doubts."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge.sinks.base import Failure, Rejected, Remark, Retry, Scope
from bridge.sinks.http.config import HttpSinkConfig
from bridge.sinks.http.response import (
    RETRY_AFTER_CAP_S,
    Refused,
    Response,
    classify_batch_response,
    classify_response,
    retry_after_s,
)
from bridge.sinks.http.success import AnswerRules

URL = "http://h/x"
ELASTIC = {
    "json": {"took": 30, "errors": True},
    "items": [
        {"index": {"_id": "a:1:1", "status": 201, "result": "created"}},
        {"index": {"_id": "a:1:2", "status": 400, "error": {"type": "mapper", "reason": "failed to parse [t]"}}},
        {"create": {"_id": "b:1:1", "status": 409, "error": {"type": "version_conflict", "reason": "exists"}}},
        {"index": {"_id": "c:1:1", "status": 429, "error": {"type": "es_rejected", "reason": "queue is full"}}},
    ],
}


def rules(**settings: Any) -> AnswerRules:
    config = HttpSinkConfig(**settings)
    return AnswerRules(config.statuses, config.success)


def answer(status: int, body: object = b"", content_type: str = "application/json", **more: Any) -> Response:
    return Response(URL, status, None, body if isinstance(body, bytes) else orjson.dumps(body), content_type, **more)


def of_one(response: Response, *, resent: bool = False, **settings: Any) -> Failure | None:
    """What becomes of a single post, which must be the same as for a batch of one."""
    ruled = rules(**settings)
    single = classify_response(response, ruled, resent=resent)
    whole = classify_batch_response(response, 1, ruled, resent={0} if resent else ())
    of_batch = whole.get(0) if isinstance(whole, dict) else whole.alone if isinstance(whole, Refused) else whole
    assert type(of_batch) is type(single)
    return single


@pytest.mark.parametrize("status", [409, 412])
def test_a_conflict_is_delivered_where_it_was_sent_before_and_else_costs_the_message(status: int) -> None:
    known = of_one(answer(status), resent=True)
    assert isinstance(known, Remark)
    assert known.cause == "known"
    advice = f"; if it answers so to all that it has, write http.statuses: {{{status}: delivered}} and replay it"
    assert of_one(answer(status)) == Rejected(f"{URL} answers {status}{advice}")
    assert of_one(answer(status), statuses={status: "dead_letter"}) == Rejected(f"{URL} answers {status}")
    assert classify_batch_response(answer(status), 2, resent={0, 1}) == {0: known, 1: known}
    assert isinstance(classify_batch_response(answer(status), 2, resent={1}), Refused)


@pytest.mark.parametrize(
    ("fate", "expected"),
    [
        ("delivered", None),
        ("dead_letter", Rejected(f"{URL} answers 404")),
        ("retry", Retry(cause="404", reason=f"{URL} answers 404", scope=Scope.DEVICE)),
        ("pause", Retry(cause="404", reason=f"{URL} answers 404", needs_operator=True)),
    ],
)
def test_a_status_means_what_the_table_says(fate: str, expected: Failure | None) -> None:
    assert classify_response(answer(404), rules(statuses={"404": fate})) == expected
    assert of_one(answer(404), statuses={404: fate}) == expected


@pytest.mark.parametrize("key", [99, 102, 600, "4xx", True, "", -1, 409.5])
def test_what_is_no_status_is_refused(key: object) -> None:
    with pytest.raises(ValidationError, match="no final status of HTTP"):
        HttpSinkConfig(statuses={key: "retry"})  # type: ignore[dict-item]
    with pytest.raises(ValidationError, match="delivered"):
        HttpSinkConfig(statuses={409: "ignore"})


@pytest.mark.parametrize(
    ("success", "body", "content_type", "fault"),
    [
        ({"json": {"success": True}}, {"success": True}, "application/json", None),
        ({"json": {"success": True}}, {"success": False}, "application/json", "'success' is false"),
        ({"json": {"success": True}}, {"success": 1}, "application/json", "'success' is 1"),
        ({"json": {"success": True}}, {}, "application/json", "'success' is missing"),
        ({"json": {"success": True}}, b"", "application/json", "it has no JSON"),
        ({"json": {"success": True}}, b"<html>", "text/html", "it has no JSON"),
        ({"json": {"success": True}}, b"\xff\xfe{", "application/json; charset=klingon", "it has no JSON"),
        ({"json": {"status": ["ok", "queued"]}}, {"status": "queued"}, "text/plain", None),
        ({"json": {"status": ["ok", "queued"]}}, {"status": "error"}, "text/plain", "'status' is \"error\""),
        ({"json": {"error": None}}, {"took": 3}, "application/json", None),
        ({"json": {"error": None}}, {"error": {"type": "x"}}, "application/json", '\'error\' is {"type":"x"}'),
        ({"json": {"result.code": 0}}, {"result": {"code": 0}}, "application/json", None),
        ({"json": {"result.code": 0}}, {"result": {"code": False}}, "application/json", "'result.code' is false"),
        ({"json": {"result.code": 0}}, ["result"], "application/json", "'result.code' is missing"),
        ({"json": {"0.ok": True}}, [{"ok": True}], "application/json", None),
        ({"json": {"1.ok": True}}, [{"ok": True}], "application/json", "'1.ok' is missing"),
        ({"json": {"success": True}}, {"success": "true"}, "application/json", "'success' is \"true\""),
        ({"json": {"success": True}}, b'\xef\xbb\xbf{"success":true}', "application/json", None),
        ({"json": {"n": 1}}, b'{"n":NaN}', "application/json", "it has no JSON"),
        ({"json": {"n": 1}}, b"[" * 100_000, "application/json", "it has no JSON"),
        ({"json": {"error": None}}, b"", "application/json", "it has no JSON"),
        ({"content_type": "Application/JSON"}, b"fine", "application/json", None),
        ({"content_type": "application/json"}, b"<html>", "text/html", "it is text/html, not application/json"),
        ({"content_type": ["a/b", "c/d"]}, b"", "", "it is of no content type, not a/b or c/d"),
    ],
)
def test_success_can_be_defined(success: dict[str, Any], body: object, content_type: str, fault: str | None) -> None:
    for otherwise in ("retry", "dead_letter", "pause"):
        found = of_one(answer(200, body, content_type), success={**success, "otherwise": otherwise})
        if fault is None:
            assert found is None
            continue
        assert isinstance(found, Rejected | Retry)
        assert found.reason.startswith(f"{URL} answers 200, but it is no success: {fault}")
        assert isinstance(found, Rejected) is (otherwise == "dead_letter")
        if isinstance(found, Retry):
            assert (found.needs_operator, found.maybe_taken) == (otherwise == "pause", True)
            # One message must not hold up the others, unless a person is to look.
            assert (found.scope is Scope.DEVICE) is (otherwise == "retry")


@pytest.mark.parametrize(
    "success",
    [{}, {"json": {}}, {"content_type": "json"}, {"json": {"a..b": 1}}, {"otherwise": "delivered"}, {"status": 200}],
)
def test_a_definition_that_makes_no_sense_is_refused(success: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HttpSinkConfig(success=success)


def test_items_are_read_one_by_one() -> None:
    settings = rules(success={"items": {"at": "items"}}, statuses={409: "delivered"})
    body = {**ELASTIC["json"], "items": ELASTIC["items"]}  # type: ignore[dict-item]
    found = classify_batch_response(answer(200, body), 4, settings)
    assert isinstance(found, dict)
    assert found.keys() == {1, 3}
    assert found[1] == Rejected(f"{URL} answers 400: failed to parse [t]")
    assert isinstance(busy := found[3], Retry)
    assert (busy.cause, busy.scope, busy.reason) == ("429", Scope.QUEUE, f"{URL} answers 429: queue is full")


@pytest.mark.parametrize(
    "body", [{}, {"items": []}, {"items": [{}]}, {"items": [{"index": {"status": "ok"}}]}, {"items": {}}, [], b"x"]
)
def test_items_that_are_not_told_are_not_delivered(body: object) -> None:
    found = classify_batch_response(answer(200, body), 1, rules(success={"items": {}}))
    assert isinstance(found, Retry | Refused)


@pytest.mark.parametrize(
    ("body", "content_type", "cause"),
    [
        ({"errors": True, "items": [{"index": {"status": 400}}]}, "application/json", "error_in_answer"),
        ({"errors": [{"message": "x"}]}, "application/json", "error_in_answer"),
        ({"error": "no"}, "application/problem+json", "error_in_answer"),
        ({"success": False}, "application/json", "error_in_answer"),
        ({"status": "ERROR"}, "application/json", "error_in_answer"),
        (b"<!doctype html>", "text/html", "html"),
        (b"\r\n <!DOCTYPE HTML>", "", "html"),
        (b"\xef\xbb\xbf<html><title>log in</title>", "text/plain", "html"),
        ({"Errors": ["x"]}, "application/json", "error_in_answer"),
        ({"hasErrors": True}, "application/json", "error_in_answer"),
        ({"success": "false"}, "application/json", "error_in_answer"),
        ({"Success": 0}, "application/json", "error_in_answer"),
        ({"isSuccess": False}, "application/json", "error_in_answer"),
        ({"error": "no such index"}, "", "error_in_answer"),
        ({"error": True}, "text/plain", "error_in_answer"),
        ({"accepted": 0, "rejected": 1}, "application/json", "error_in_answer"),
        ({"failed": [{"id": 1}]}, "application/json", "error_in_answer"),
        ([{"ok": True}, {"error": "no"}], "application/json", "error_in_answer"),
        (b'\xef\xbb\xbf{"errors":true}', "application/json", "error_in_answer"),
        ({"errors": []}, "application/json", None),
        ({"errors": 0, "failed": 0, "rejected": [], "error": ""}, "application/json", None),
        ({"error": "none", "errors": {}, "success": "true", "ok": 1}, "application/json", None),
        ([], "application/json", None),
        ([{"error": None}, 7, "error"], "application/json", None),
        (b'{"errors":true', "application/json", None),
        ({"errors": False, "error": None, "success": True, "status": "ok"}, "application/json", None),
        (b"", "", None),
        (b"fine", "text/plain", None),
    ],
)
def test_an_answer_that_tells_of_an_error_is_noted(body: object, content_type: str, cause: str | None) -> None:
    found = of_one(answer(200, body, content_type))
    assert (found.cause if isinstance(found, Remark) else found) == cause
    if cause:
        assert isinstance(found, Remark)
        assert "say in http.success what a success is" in found.reason


def test_an_answer_of_many_parts_that_cannot_be_read_is_for_a_person() -> None:
    for found in (of_one(answer(207, b"<multistatus/>", "application/xml")), of_one(answer(207))):
        assert isinstance(found, Retry)
        assert found.needs_operator
    assert not classify_batch_response(answer(207, {"items": [{"line": 0, "status": "stored"}]}), 1)


def test_an_answer_that_is_too_large_is_no_success_where_the_fate_is_in_it() -> None:
    huge = answer(200, b"[" * 1000, too_large=True)
    assert classify_response(huge) is None
    for found in (classify_batch_response(huge, 1), classify_response(huge, rules(success={"json": {"ok": True}}))):
        assert isinstance(found, Retry)
        assert (found.cause, found.needs_operator, found.maybe_taken) == ("answer_too_large", True, True)


def test_a_reason_is_one_line_that_a_terminal_can_show() -> None:
    found = of_one(answer(400, b"no\r\n\x1b[31mred\x00" + b"x" * 100_000, "text/plain"))
    assert isinstance(found, Rejected)
    assert found.reason.isprintable()
    assert len(found.reason) < 400


@pytest.mark.parametrize(
    "header", ["Sun, 01 Mar 99999999999 12:00:00 GMT", "9" * 5000, "Sun, 01 Mar 2026 12:00:00 +9999", "\u0663", "1e9"]
)
def test_a_retry_after_that_makes_no_sense_is_no_error(header: str) -> None:
    found = retry_after_s(header, 0)
    assert found is None or 0 <= found <= RETRY_AFTER_CAP_S


@given(st.one_of(st.text(), st.from_regex(r"\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ [+-]?\w+", fullmatch=True)))
def test_no_retry_after_is_an_error(header: str) -> None:
    found = retry_after_s(header, 1_772_000_000_000)
    assert found is None or 0 <= found <= RETRY_AFTER_CAP_S


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["items", "status", "error", "errors", "line", "stored"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.integers(100, 599), _JSON, st.sampled_from(["application/json", "text/html", ""]), st.booleans())
def test_whatever_a_server_says_has_a_meaning(status: int, body: object, content_type: str, resent: bool) -> None:
    """No answer is an error, and none but 2xx or a conflict of a resend counts as delivered."""
    for settings in ({}, {"success": {"items": {}}}, {"success": {"json": {"status": "ok"}}}):
        found = of_one(answer(status, body, content_type), resent=resent, **settings)
        if found is None or isinstance(found, Remark):
            assert 200 <= status < 300 or (resent and status in (409, 412))
