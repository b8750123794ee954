"""Every row of docs/migrating.md: its command is run, and shows what the row says.

Commands run in this process, each once, in a folder with the files that the page names; an endpoint, and Kafka as
librdkafka has it built in, stand where the page has them. What is shown is looked for in all that came of a command:
what it printed, the files it wrote, the requests and topics.
"""

import os
import re
import shlex
import threading
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner

from edgefleet.cli import app
from edgefleet.embedded import kafka_mock

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "migrating.md").read_text(encoding="utf-8")
HEADER = "| there | here | try | shows |"
MODULES = ("my_events.py", "my_visits.py")
"""The blocks of Python on the page, in their order."""


class Row(NamedTuple):
    """One row of a table."""

    section: str
    there: str
    command: str
    shows: tuple[str, ...]


def read_rows() -> list[Row]:
    """Return the rows of all tables of the page."""
    rows = []
    for section in TEXT.split("\n## ")[1:]:
        title, lines = section.splitlines()[0], section.splitlines()
        for line in lines[lines.index(HEADER) + 2 :]:
            if not line.startswith("| "):
                break
            there, _, tried, shows = (cell.strip() for cell in line.strip("|").split(" | "))
            rows.append(Row(title, there, tried.strip("`"), tuple(re.findall(r"`([^`]+)`", shows))))
    return rows


ROWS = read_rows()


class Endpoint(BaseHTTPRequestHandler):
    """Takes everything, but what goes to /refuses."""

    protocol_version = "HTTP/1.1"
    requests: list[str] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind = self.headers["Content-Type"]
        found = body.splitlines() if "ndjson" in kind else orjson.loads(body)
        records = len(found) if isinstance(found, list) else 1
        self.requests.append(f"POST {self.path} {kind} {records} records")
        self.send_response(422 if self.path == "/refuses" else 201)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"no")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Page:
    """Runs the commands of the page in its folder."""

    def __init__(self, endpoint: str, kafka: str, folder: Path) -> None:
        self._places = {"localhost:8000": endpoint, "localhost:9092": kafka}
        self._admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
        self._folder = folder
        self.run = cache(self._run)

    def _run(self, command: str) -> str:
        """Return all that came of a command."""
        for shown, tested in self._places.items():
            command = command.replace(shown, tested)
        words = shlex.split(command)
        program = words.index("edgefleet")
        variables = dict(word.split("=", 1) for word in words[:program])
        Endpoint.requests.clear()
        before = {path: path.stat().st_mtime_ns for path in self._folder.rglob("*")}
        done = CliRunner(env=variables).invoke(app, words[program + 1 :])
        said = [done.output, str(done.exception or ""), *Endpoint.requests]
        for path in sorted(self._folder.rglob("*")):
            if path.is_file() and before.get(path) != path.stat().st_mtime_ns:
                said += [path.name, path.read_text(encoding="utf-8", errors="replace")]
        if self._places["localhost:9092"] in command:
            said += [f"topic {name}" for name in self._admin.list_topics(timeout=20).topics]
        return "\n".join(said)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("page")
    blocks = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    for name, block in zip(MODULES, blocks, strict=True):
        (folder / name).write_text(block)
    (folder / "bridge.yaml").write_bytes((ROOT / "bridge.yaml").read_bytes())
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    before = Path.cwd()
    os.chdir(folder)
    with pytest.MonkeyPatch.context() as patch, kafka_mock() as cluster:
        patch.setattr("devices.export.kafka.TIMEOUT_S", 0.5)
        for kind in ("traffic", "telematics", "bme280"):
            line = CliRunner().invoke(app, ["generate", kind, "--events", "1"]).stdout
            (folder / f"{kind}.json").write_text(line)
        yield Page(f"localhost:{server.server_port}", cluster.bootstrap_servers, folder)
    os.chdir(before)
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_section_has_its_table() -> None:
    sections = {row.section for row in ROWS}
    assert sections == set(re.findall(r"^## (.+)$", TEXT, re.MULTILINE))
    assert len(sections) == 5
    assert len(ROWS) > 100
    assert all(row.shows for row in ROWS)


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.section}: {row.there}")
def test_a_row_shows_what_it_says(page: Page, row: Row) -> None:
    came = page.run(row.command)
    assert [text for text in row.shows if text not in came] == [], came[:2000]
