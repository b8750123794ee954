"""Adding a kind is three files, as docs/device-kinds.md says: this follows the page in a copy of the packages."""

import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from filecmp import dircmp
from pathlib import Path
from textwrap import indent

import orjson
import psycopg
import pytest
import yaml

from edgefleet.embedded import MosquittoProcess, edgefleet_process, free_port

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "device-kinds.md"
PACKAGES = ("edgewire", "devices", "bridge", "edgefleet")
CONTRACT = "edgewire/messages/contract.py"
SPAN = ("--from", "2026-03-02T08:00", "--to", "2026-03-02T09:00")


def blocks() -> list[tuple[str, str]]:
    """Return the file and the text of every block of the page that belongs into a file."""
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', text, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Return the command lines that the page ends with."""
    shell = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [line.split() for block in shell for line in block.splitlines()]


def follow(folder: Path) -> None:
    """Do what the page says in a folder with copies of the packages."""
    for name, text in blocks():
        path = folder / name
        if not path.exists():
            path.write_text(text, encoding="utf-8")
            continue
        assert name == CONTRACT
        contract = path.read_text(encoding="utf-8")
        # An import goes to the others, an entry to the end of the table.
        before = "from edgewire.messages.gps import"
        if not text.startswith("from"):
            before, text = '    )\n)\n"""Every kind', f"{indent(text.rstrip(), ' ' * 8)},\n"
        assert contract.count(before) == 1
        path.write_text(contract.replace(before, text + before), encoding="utf-8")


def touched(folder: Path) -> set[str]:
    """Return the files of the packages in a folder that are new or different there."""

    def changes(compared: "dircmp[str]", path: str) -> Iterator[str]:
        yield from (f"{path}/{name}" for name in [*compared.right_only, *compared.diff_files])
        for name, below in compared.subdirs.items():
            yield from changes(below, f"{path}/{name}")

    return {path for name in PACKAGES for path in changes(dircmp(ROOT / name, folder / name), name)}


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the packages with the new kind, which the processes started in it import."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    follow(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def edgefleet(*arguments: object) -> str:
    """Return what a command prints in the current folder; it must succeed."""
    result = subprocess.run(
        [sys.executable, "-m", "edgefleet", *map(str, arguments)], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, f"{arguments}: {result.stderr}"
    return result.stdout


def test_the_page_touches_three_files(copy: Path) -> None:
    assert touched(copy) == {"edgewire/messages/energy.py", CONTRACT, "devices/sensors/energy.py"}
    assert {arguments[0] for arguments in commands()} == {"edgefleet"}
    assert [arguments[1] for arguments in commands()] == ["generate", "plot", "run"]


@pytest.mark.documents
def test_its_kind_is_exported_drawn_described_and_routed(copy: Path) -> None:
    scenario = copy / "energy.yaml"
    assert "kind: energy" in scenario.read_text()
    for arguments in commands():
        if arguments[1] != "run":
            edgefleet(*arguments[1:])
    assert (copy / "energy.png").read_bytes()[:4] == b"\x89PNG"
    reading = orjson.loads((copy / "energy.jsonl").read_bytes().splitlines()[0])
    assert reading["power_w"] > 0
    assert reading["energy_kwh"] > 0
    for name in ("hour.csv", "hour.parquet"):
        edgefleet("generate", scenario, *SPAN, "--out", name)
        drawn = orjson.loads(edgefleet("plot", name, "--out", f"{name}.png", "--json"))
        assert drawn["records"] == 5 * 360
    assert "energy.telemetry" in orjson.loads(edgefleet("schema", "--asyncapi"))["channels"]
    (copy / "bridge.yaml").write_text("http: {url: 'http://127.0.0.1:1'}\nkafka: {bootstrap_servers: '127.0.0.1:1'}\n")
    payload = orjson.dumps(reading).decode()
    topic = f"edge/site/energy/{reading['device_id']}/telemetry"
    found = edgefleet("bridge", "route", "bridge.yaml", "--topic", topic, "--payload", payload)
    assert "energy_readings" in found
    assert "valid" in found


@pytest.mark.documents
def test_its_kind_goes_into_a_database(copy: Path, postgres: str) -> None:
    edgefleet("generate", copy / "energy.yaml", *SPAN, "--out", postgres)
    with psycopg.connect(postgres) as database:
        assert database.execute("SELECT count(*), min(power_w) > 0 FROM energy").fetchone() == (5 * 360, True)


@contextmanager
def chain(folder: Path, broker: str) -> Iterator[str]:
    """Run ingest and bridge; yields the URL of the former."""
    url, admin_port = f"http://127.0.0.1:{free_port()}", free_port()
    settings = {
        "broker": broker,
        "client_id": "bridge-energy",
        "spool": {"path": "spool.db"},
        "http": {"url": url},
        "admin": {"port": admin_port},
    }
    (folder / "bridge.yaml").write_text(yaml.safe_dump(settings))
    store = f"sqlite:///{folder / 'ingest.db'}"
    port = url.rpartition(":")[2]
    with (
        edgefleet_process("ingest", "ingest", "--port", port, "--store", store, url=f"{url}/readyz"),
        edgefleet_process("bridge", "bridge", "run", "bridge.yaml", url=f"http://127.0.0.1:{admin_port}/readyz"),
    ):
        yield url


@pytest.mark.documents
def test_its_kind_runs_to_the_end_of_the_chain(copy: Path, mosquitto_factory: Callable[..., MosquittoProcess]) -> None:
    broker = mosquitto_factory().url
    (copy / "live.yaml").write_text("devices: [{kind: energy, count: 20, interval: 100ms}]\n")
    edgefleet("doctor", "live.yaml", "--broker", broker)
    with chain(copy, broker) as url:
        with urllib.request.urlopen(f"{url}/openapi.json", timeout=10) as answer:
            assert "/ingest/energy" in orjson.loads(answer.read())["paths"]
        watching = [sys.executable, "-m", "edgefleet", "watch", "edge/+/energy/+/telemetry", "--broker", broker]
        with subprocess.Popen([*watching, "--count", "5"], stdout=subprocess.PIPE, text=True) as watch:
            try:
                edgefleet("run", "live.yaml", "--broker", broker, "--duration", "5s", "--record", "run")
                seen, _ = watch.communicate(timeout=20)
            finally:
                watch.kill()
        assert re.search(r"energy +energy-00\d\d +telemetry .*power_w \d+\.\d  energy_kwh \d", seen)
        verdict = orjson.loads(edgefleet("verify", "run", "--ingest", url, "--json"))
        assert verdict["per_kind"]["energy"]["sent"] > 100
        assert verdict["per_kind"]["energy"]["http"]["lost"] == 0
