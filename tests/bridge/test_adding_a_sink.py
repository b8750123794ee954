"""Adding a sink is one file and one line in a table, with its import: this does it, in a copy of the package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

SINK = '''
from bridge.sinks.base import NO_FAILURES
from bridge.sinks.settings import SinkConfig, Target
from bridge.message.template import Template

class NilConfig(SinkConfig):
    """The nil sink."""
    colour: str = "black"

class NilTarget(Target):
    """Where a route leads in nothing."""
    hole: Template = Template("{kind}")
    @classmethod
    def from_contract(cls, kind, message):
        return cls()

class NilSink:
    name, batch_messages, linger_s, last_error = "nil", 10, 0.0, None
    def __init__(self, config, targets, bridge, clock):
        self.config = config
    def queue_key(self, routed):
        target = routed.route.targets.get("nil")
        return target and target.hole.render_static(routed.topic_info)
    async def connect(self): ...
    async def write(self, queue_key, batch):
        return NO_FAILURES
    async def close(self): ...
    async def probe(self):
        return f"it is {self.config.colour}"
    def preview(self, routed):
        return {"lane": self.queue_key(routed), "destination": routed.route.targets["nil"].hole.render(routed)}
'''

USE = """
import asyncio
from bridge.config import BridgeConfig
from bridge.routing.table import RouteTable
from bridge.service import build_sinks
from bridge.spool.message import SpooledMessage
from edgewire.config import parse_config
text = "nil: {colour: white}\\nroutes: [{topic: '#', nil: {hole: '{payload.speed_kmh|0}'}}]"
config = parse_config(text, BridgeConfig, name="x")
table = RouteTable(config.routes)
table.check_sinks(config.sinks)
(sink,) = build_sinks(config, table, None)
body = b'{"device_id":"a","timestamp":"2026-03-01T12:00:00.000Z","boot":1,"seq":5,"speed_kmh":7.5}'
found = table.resolve(SpooledMessage(1, 0, "edge/s/gps/a/telemetry", body, 1, False, False))
print(sink.preview(found)["destination"], asyncio.run(sink.probe()))
(default,) = build_sinks(parse_config("nil: {}", BridgeConfig, name="x"), RouteTable(), None)
print(default.queue_key(RouteTable().resolve(SpooledMessage(1, 0, "edge/s/gps/a/telemetry", body, 1, False, False))))
"""


def test_adding_a_sink_is_one_file_and_one_line(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "bridge", tmp_path / "bridge", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "bridge/sinks/nil.py").write_text(SINK)
    table = tmp_path / "bridge/sinks/registry.py"
    line = '            SinkKind("file", FileSinkConfig, FileTarget, FileSink),\n'
    text = table.read_text()
    assert text.count(line) == 1
    imported = "from bridge.sinks.kafka.sink import KafkaSink\n"
    table.write_text(
        text.replace(line, f'{line}            SinkKind("nil", NilConfig, NilTarget, NilSink),\n').replace(
            imported, f"{imported}from bridge.sinks.nil import NilConfig, NilSink, NilTarget\n"
        )
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", USE],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        cwd=tmp_path,
    )
    assert result.stdout.splitlines() == ["7.5 it is white", "gps"], result.stderr
