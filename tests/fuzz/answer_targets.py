"""What services answer that somebody named: a bridge and an ingest behind a run, and where an export is posted to."""

import asyncio
import json
from collections.abc import Iterator

from tests.fuzz.target import Run, Target


class FuzzedPages:
    """Answers with the page of metrics, and everything else with another page."""

    def __init__(self, data: bytes) -> None:
        self._metrics, _, self._other = data.partition(b"\0")

    async def read(self, path: str, *statuses: int) -> bytes:
        """Return the page."""
        return self._metrics if path == "/metrics" else self._other


def _service_pages() -> Run:
    import orjson

    from edgefleet.control.bridge_status import BridgeMonitor
    from edgefleet.control.store_status import StoreMonitor

    def run(data: bytes) -> None:
        bridge, store = BridgeMonitor("http://a:1", lambda: 7.0), StoreMonitor("http://b:1", lambda: 7.0)

        async def ask() -> None:
            for _ in range(2):
                await bridge.ask(FuzzedPages(data))
                await store.ask(FuzzedPages(data))

        asyncio.run(ask())
        for status in (bridge.status, store.status):
            assert status.is_reachable or status.error
            orjson.dumps(status.document())

    return run


def _service_pages_seeds() -> Iterator[bytes]:
    bridge = """
edgefleet_bridge_received_total 12.0
edgefleet_bridge_spooled_total 12.0
edgefleet_bridge_missing_total{cause="gap"} 1.0
edgefleet_bridge_delivered_total{sink="http"} 11.0
edgefleet_bridge_ledger_messages{sink="http",entry="pending"} 1.0
edgefleet_bridge_breaker_state{sink="http",destination="http://c/"} 2.0
edgefleet_bridge_oldest_pending_seconds{sink="http"} 1.5
edgefleet_bridge_retries_total{sink="http",cause="503"} 4.0
edgefleet_bridge_connected 1.0
"""
    ready = {"ready": False, "reasons": ["spool: full"], "waiting": [], "paused": ["http"]}
    yield bridge.encode() + b"\0" + json.dumps(ready).encode()
    yield bridge.replace("12.0", "1e300").encode() + b"\0" + b"{}"
    yield b'# TYPE edgefleet_ingest_messages_total counter\nedgefleet_ingest_messages_total{result="stored"} 5.0\n'


def _upload_answer() -> Run:
    import orjson

    from devices.export.http import read_account
    from edgewire.http_answer import error_said

    def run(data: bytes) -> None:
        account = read_account(data)
        if account is not None:
            assert account.rejected >= len(account.refused)
        try:
            said = error_said(orjson.loads(data), accounted=account is not None)
        except orjson.JSONDecodeError:
            return
        assert said is None or 0 < len(said) < 1000

    return run


def _upload_answer_seeds() -> Iterator[bytes]:
    refused = {"status": "rejected", "error": "no number"}
    yield json.dumps({"stored": 1, "items": [{"status": "stored"}, refused], "unlisted": 2}).encode()
    yield json.dumps({"errors": [{"success": "no"}], "failed": 1}).encode()


def _stored_page() -> Run:
    import orjson

    from edgefleet.verify.checker import Checker
    from edgefleet.verify.http_source import read_page
    from edgefleet.verify.message_index import MessageIndex
    from tests.run_records import small_record

    index = MessageIndex(small_record())

    def run(data: bytes) -> None:
        for arrived, reads_content in (("received_ms", False), ("conflict_ms", False), ("received_ms", True)):
            try:
                page = read_page(data, 0, arrived, reads_content=reads_content)
            except (orjson.JSONDecodeError, KeyError, TypeError):
                continue
            Checker(index).add_arrivals(page.arrivals)

    return run


def _stored_page_seeds() -> Iterator[bytes]:
    row = {"cursor": 1, "device_id": "g-1", "boot": 7, "seq": 3, "timestamp_ms": 1, "received_ms": 2, "conflict_ms": 3}
    rows = [row, row | {"cursor": 2, "payload": {"a": 1}}]
    yield json.dumps({"messages": rows, "next": 2}).encode()
    yield json.dumps({"messages": [], "next": None}).encode()


ANSWER_TARGETS = {
    "stored-page": Target(_stored_page, _stored_page_seeds, ("edgefleet.verify",), 2048),
    "service-pages": Target(_service_pages, _service_pages_seeds, ("edgefleet.control", "prometheus_client.parser")),
    "upload-answer": Target(_upload_answer, _upload_answer_seeds, ("devices.export.http", "edgewire.http_answer")),
}
