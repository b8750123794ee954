"""Adding a command is three files, as docs/firmware.md says: this follows the page in a copy of the packages."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from filecmp import dircmp
from pathlib import Path
from textwrap import dedent, indent

import orjson
import pytest

pytestmark = pytest.mark.skipif(
    os.environ.get("EDGEFLEET_COMPILED") == "1",
    reason="changes a copy of the sources, before which compiled modules go",
)

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "firmware.md"
PACKAGES = ("edgewire", "devices")
ACTION, ARGUMENTS, HANDLER = (
    "edgewire/messages/control.py",
    "devices/firmware/commands.py",
    "devices/fleet/command_handler.py",
)
BEHIND = {
    '"ping"': '    "update_firmware",\n',
    "class Ping": "        return cls(fault=fault, duration_ms=duration_ms)\n",
    "from": "from devices.firmware.vitals import draw\n",
    "def _ping": '        return {"cleared": self._fleet.timeline.faults.clear_faults(to.positions, to.at_ms)}\n\n',
    "case": "            return CommandSpec(ClearFaults, CommandHandler._clear_faults)\n",
}
"""How a block begins -> what stands before the place for it."""

TELL = """
import asyncio, sys
from types import SimpleNamespace
from unittest.mock import Mock
from devices.firmware.firmware import Firmware
from devices.firmware.outbox import Reading
from devices.fleet.command_handler import CommandHandler
from devices.fleet.device_client import DeviceClient
from devices.fleet.session_factory import create_session
from devices.scenario.scenario import Scenario
from devices.timeline.timeline import Timeline
from edgewire.link import BrokerUrl
from edgewire.mqtt import Connected, Message, Version
from edgewire.mqtt.limits import ServerLimits

scenario = Scenario(devices=[{"kind": "bme280", "count": 1}])
timeline = Timeline(scenario, 0)
device, wire_format = timeline.devices[0], timeline.wire_format(0)
firmware = Firmware(device.device_id, device.key, 1, 0, scenario.build(scenario.devices[0]))
session = create_session(device, firmware, wire_format, scenario, (None, None), Version.V5)
fleet = Mock(timeline=timeline, pacer=SimpleNamespace(computed_until_ms=0), device_time_ms=lambda: 0)
fleet.monotonic_s = lambda: 0.0
fleet.token_life_s = lambda _: None
fleet.on_command = CommandHandler(fleet).handle_command
client = DeviceClient(device, firmware, session, fleet, lambda: 0.5, BrokerUrl.parse("mqtt://h"), wire_format)
client.handle_reading(Reading(0, b"t", b"{}", 1, 1))
assert client.begin_connect()
link = Mock(connected=True, writable=False)
client.on_events(link, [Connected(True, "", ServerLimits())])
(subscription,) = link.subscribe.call_args.args[0]
for payload in sys.argv[1:]:
    client.on_events(link, [Message(subscription.filter, payload.encode(), 1, False, False, 1, {}, 1)])
for call in link.publish.call_args_list:
    print(call.args[0], call.args[1].decode())
"""


def blocks() -> list[tuple[str, str]]:
    """Return the file and the text of every block of the page that belongs into a file."""
    found = re.findall(
        r'^ *```\w+ title="([^"]+)"\n(.*?)^ *```$', PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    return [(name, dedent(text)) for name, text in found]


def follow(folder: Path, *names: str) -> None:
    """Do what the page says of these files, in a folder with copies of the packages."""
    for name, text in blocks():
        if name in names:
            (before,) = [before for start, before in BEHIND.items() if text.startswith(start)]
            path = folder / name
            source = path.read_text(encoding="utf-8")
            assert source.count(before) == 1, f"{name} has no single place for {text}"
            path.write_text(source.replace(before, before + placed(text)), encoding="utf-8")


def placed(text: str) -> str:
    """Return a block with the indentation and the blank lines of its place."""
    if text.startswith('"'):
        return f"    {text.rstrip()},\n"
    if text.startswith("case"):
        return indent(text, " " * 8)
    if text.startswith("class"):
        return f"\n\n{text}"
    return indent(text, "    ") + "\n" if text.startswith("def") else text


def touched(folder: Path) -> set[str]:
    """Return the files of the packages in a folder that are new or different there."""

    def changes(compared: "dircmp[str]", path: str) -> Iterator[str]:
        yield from (f"{path}/{name}" for name in [*compared.right_only, *compared.diff_files])
        for name, below in compared.subdirs.items():
            yield from changes(below, f"{path}/{name}")

    return {path for name in PACKAGES for path in changes(dircmp(ROOT / name, folder / name), name)}


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the packages, which the processes started in it import."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tests/devices/fleet/test_command_table.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def python(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What mypy has found of other packages, kept from one test to the next."""
    return tmp_path_factory.mktemp("mypy")


def check_types(cache: Path) -> str:
    """Return what mypy says of the table in the copy."""
    options = ("--config-file", ROOT / "pyproject.toml", "--follow-imports", "silent", "--cache-dir", cache)
    return python("-m", "mypy", *options, HANDLER).stdout


def check_table() -> "subprocess.CompletedProcess[str]":
    return python("-m", "pytest", "-q", "-c", "/dev/null", "-p", "no:cacheprovider", "test_command_table.py")


@pytest.mark.documents
def test_a_command_added_as_the_page_says_is_carried_out_and_answered(copy: Path, cache: Path) -> None:
    follow(copy, ACTION, ARGUMENTS, HANDLER)
    assert touched(copy) == {ACTION, ARGUMENTS, HANDLER}
    command = {"id": "p1", "action": "ping", "arguments": {"text": "are you there?"}}
    wrong = {"id": "p2", "action": "ping", "arguments": {"text": "x" * 65}}
    told = python("-W", "error", "-c", TELL, *(orjson.dumps(one).decode() for one in (command, command, wrong)))
    assert told.returncode == 0, told.stderr
    topics, payloads = zip(*(line.split(" ", 1) for line in told.stdout.splitlines()), strict=True)
    assert topics == ("edge/default/bme280/bme280-0001/status", *3 * ("edge/default/bme280/bme280-0001/result",))
    _, first, again, refused = map(orjson.loads, payloads)
    assert (first["id"], first["ok"], first["data"]) == ("p1", True, {"text": "are you there?", "buffered": 1})
    assert again == first
    assert (refused["id"], refused["ok"]) == ("p2", False)
    assert refused["error"].startswith("arguments: text: ")
    table = check_table()
    assert table.returncode == 0, table.stdout
    assert check_types(cache).startswith("Success")


@pytest.mark.documents
def test_a_command_without_a_handler_fails_the_type_check_and_a_test(copy: Path, cache: Path) -> None:
    follow(copy, ACTION)
    found = check_types(cache)
    assert f"{HANDLER}:" in found
    assert """Argument 1 to "assert_never" has incompatible type "Literal['ping']"; expected "Never\"""" in found
    table = check_table()
    assert table.returncode == 1
    assert "test_an_action_has_a_handler_of_its_arguments[ping]" in table.stdout
