"""The example of docs/sinks.md for Elasticsearch's `_bulk`, against what answers as that does."""

import re
from pathlib import Path

import orjson
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.config import BridgeConfig
from bridge.service import build_components
from bridge.sinks.base import Rejected, Retry
from tests.bridge.fakes import routed

PAGE = (Path(__file__).parents[4] / "docs" / "sinks.md").read_text(encoding="utf-8")


class Bulk:
    """Answers `_bulk` as Elasticsearch 8 does: item by item, 200 for the whole."""

    def __init__(self) -> None:
        self.documents: dict[str, object] = {}
        self.refused: dict[str, tuple[int, str]] = {}

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.content_type != "application/x-ndjson" or not body.endswith(b"\n"):
            return web.json_response({"error": "The bulk request must be terminated by a newline [\\n]"}, status=400)
        lines = body.splitlines()
        items = []
        for action, document in zip(lines[::2], lines[1::2], strict=True):
            ((name, head),) = orjson.loads(action).items()
            assert name == "create"
            number = head["_id"]
            status, why = self.refused.get(number, (409, "exists") if number in self.documents else (201, ""))
            if status == 201:
                self.documents[number] = orjson.loads(document)
            error = {"error": {"type": "x", "reason": why}} if why else {}
            items.append({name: {"_index": head["_index"], "_id": number, "status": status, **error}})
        failed = any("error" in item["create"] for item in items)
        return web.json_response({"took": 1, "errors": failed, "items": items})


async def test_bulk_answers_are_read_item_by_item_as_in_the_documents() -> None:
    (example,) = [
        text for text in re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) if "_bulk" in text
    ]
    bulk = Bulk()
    application = web.Application()
    application.router.add_post("/_bulk", bulk.handle)
    async with TestServer(application) as server:
        text = example.replace("http://127.0.0.1:9200", str(server.make_url("")).rstrip("/"))
        table, (sink,) = build_components(BridgeConfig(**yaml.safe_load(text)))
        await sink.connect()
        batch = [routed(number, "ab"[number % 2], table) for number in range(1, 9)]
        bulk.documents["b:1:1"] = {}
        bulk.refused = {"a:1:2": (400, "failed to parse [t]"), "b:1:3": (429, "queue is full")}
        failures = await sink.write(str(sink.queue_key(batch[0])), batch)
        causes = {batch[position].message_id: type(failure) for position, failure in failures.items()}
        # What follows b:1:3 of its device comes again behind it.
        assert causes == {"a:1:2": Rejected, "b:1:3": Retry, "b:1:5": Retry, "b:1:7": Retry}
        assert failures[1].reason.endswith("answers 400: failed to parse [t]")
        bulk.refused.clear()
        again = [batch[position] for position in sorted(failures) if isinstance(failures[position], Retry)]
        assert not await sink.write("lane", again)
        await sink.close()
    assert bulk.documents.keys() == {one.message_id for one in batch} - {"a:1:2"}
    assert bulk.documents["b:1:3"] == orjson.loads(batch[2].message.payload)
