"""What is delivered with a remark, what has expired, and what is counted from 0 on."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from bridge.message import cloudevents
from bridge.message.template import Template
from bridge.message.user_properties import dump_properties
from bridge.routing.config import RouteConfig
from bridge.routing.routed import RoutedEvent
from bridge.routing.table import RouteTable
from bridge.sinks.base import Failures, Remark
from bridge.sinks.kafka.record import RecordBuilder
from bridge.spool.dead_letters import read_dead_letters_after
from bridge.spool.message import SpooledMessage
from edgewire.clock import SystemClock
from edgewire.mqtt import Properties
from tests.bridge.delivery.test_runner import staged
from tests.bridge.fakes import MemorySink, spooled


def message(number: int, properties: Properties, received_ms: int = 1000) -> SpooledMessage:
    made = spooled(number)
    made.received_ms, made.properties = received_ms, dump_properties(properties)
    return made


def event_of(properties: Properties) -> RoutedEvent:
    found = RouteTable().resolve(message(1, properties))
    assert isinstance(found, RoutedEvent)
    return found


async def test_a_remark_is_counted_and_shown_and_its_message_delivered(tmp_path: Path) -> None:
    def remark(_: str, batch: Sequence[RoutedEvent]) -> Failures:
        return {0: Remark("html", "a page of HTML")}

    async with staged(tmp_path, MemorySink(remark, batch=2)) as stage:
        assert stage.count("remarks_total", cause="html") == 0
        stage.receive(spooled(1), spooled(2))
        assert (await stage.settled()).delivered == 2
        assert stage.count("remarks_total", cause="html") == 1
        assert stage.count("delivered_total") == 2
        assert stage.runner.warnings == ["1 messages were delivered with a remark (html), last: a page of HTML"]
        stage.clock.ahead_s = 601
        assert stage.runner.warnings == []


@pytest.mark.parametrize("rule", ["deliver", "dead_letter"])
async def test_what_has_expired_follows_the_rule_of_its_route(rule: str, tmp_path: Path) -> None:
    table = RouteTable([RouteConfig(topic="#", http="/x", expired=rule)])
    now_ms = SystemClock().now_ms()
    async with staged(tmp_path, sink := MemorySink(), table) as stage:
        stage.receive(
            message(1, {"message_expiry_interval": 60}, now_ms),
            message(2, {"message_expiry_interval": 60}, now_ms - 70_000),
            message(3, {}, now_ms - 70_000),
            message(4, {"message_expiry_interval": 0}, now_ms),
        )
        books = await stage.settled()
        expired = (stage.count("remarks_total", cause="expired"), stage.count("dead_letters_total"))
        letters = read_dead_letters_after(stage.spool.path, 0, 10)
    if rule == "deliver":
        assert (books.delivered, books.dead_lettered, expired) == (4, 0, (2, 0))
        assert sink.got == ["a:1:1", "a:1:2", "a:1:3", "a:1:4"]
    else:
        assert (books.delivered, books.dead_lettered, expired) == (2, 2, (0, 2))
        assert sink.got == ["a:1:1", "a:1:3"]
        assert re.fullmatch(r"the message expired at .*Z, 1\d s before its turn came", letters[0].reason)


def test_the_expiry_and_the_content_type_go_with_the_message() -> None:
    event = event_of({"message_expiry_interval": 60, "content_type": "application/vnd.x+json"})
    when = "1970-01-01T00:01:01.000Z"
    assert Template("{expires}/{property.expiry_s}").render(event) == f"{when}/60"
    assert Template("{expires|never}/{property.expiry_s|0}").render(event_of({})) == "never/0"
    assert cloudevents.binary_headers(event)["ce-expirytime"] == when
    assert b'"expirytime":"1970' in cloudevents.structured(event, b"{}")
    assert b'"datacontenttype":"application/vnd.x+json"' in cloudevents.structured(event, b"{}")
    headers = dict(RecordBuilder().build_record(event).headers)
    assert (headers["content-type"], headers["ce_expirytime"]) == (b"application/vnd.x+json", when.encode())
    plain = dict(RecordBuilder().build_record(event_of({"content_type": "a\r\nb"})).headers)
    assert plain["content-type"] == b"application/json"
    assert "ce_expirytime" not in plain
