"""`edgefleet bridge`: exit codes, tables and JSON."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from bridge.spool import DeadLetter, Settlement, Store
from edgefleet.cli.bridge import app
from edgewire.errors import ConfigError, EdgefleetError
from tests.bridge.fakes import ingest_stub, scripted_broker, spooled

runner = CliRunner()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose spool has a history."""
    store = Store(tmp_path / "spool.db", ["http"])
    letter = DeadLetter(
        sink="http", message_id=2, received_ms=0, topic="t", payload=b"\xff{", reason="bad", attempts=3, dead_ms=5
    )
    store.commit([spooled(number) for number in range(1, 11)])
    store.commit(settlements=[Settlement(sink="http", cursor=4, delivered=3, dead_letters=(letter,))])
    store.close()
    path = tmp_path / "bridge.yaml"
    path.write_text(f"spool: {{path: {tmp_path / 'spool.db'}}}\nhttp: {{}}\n")
    return path


def invoke(*arguments: object) -> Any:
    return runner.invoke(app, [str(one) for one in arguments], catch_exceptions=False)


@pytest.mark.parametrize("command", [["run"], ["check"], ["status"], ["dead-letters", "list"]])
def test_every_command_has_an_example(command: list[str]) -> None:
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    assert "Example: `edgefleet bridge" in " ".join(result.output.split())


def test_status_prints_the_books(config: Path) -> None:
    result = invoke("status", config, "--json")
    assert result.exit_code == 0
    (books,) = orjson.loads(result.output)["sinks"]
    assert (books["received"], books["delivered"], books["dead_lettered"], books["pending"]) == (10, 3, 1, 6)
    assert books["balanced"] is True
    assert "1970-01-01T00:00:01.005Z" in invoke("status", config).output


def test_books_that_do_not_balance_are_exit_code_1(config: Path) -> None:
    store = Store(config.parent / "spool.db", ["http"])
    store._database.execute("DELETE FROM messages WHERE id = 7")
    store.close()
    assert invoke("status", config).exit_code == 1


def test_dead_letters_are_listed_with_their_reason(config: Path) -> None:
    result = invoke("dead-letters", "list", config, "--json")
    (letter,) = orjson.loads(result.output)["dead_letters"]
    assert (letter["reason"], letter["attempts"], letter["payload"]) == ("bad", 3, "\\xff{")
    assert "bad" in invoke("dead-letters", "list", config).output
    assert "no dead letters" in invoke("dead-letters", "list", config, "--sink", "kafka").output


def test_a_wrong_configuration_is_usage(config: Path) -> None:
    config.write_text("htpp: {}")
    with pytest.raises(ConfigError, match="did you mean 'http'") as caught:
        invoke("run", config)
    assert caught.value.exit_code == 2


def test_a_spool_that_was_never_made_is_named(config: Path) -> None:
    config.write_text("http: {}\nspool: {path: /nowhere/spool.db}")
    with pytest.raises(EdgefleetError, match="there is no spool yet"):
        invoke("status", config)


async def test_check_reaches_every_endpoint(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted_broker() as broker, ingest_stub() as ingest:
        monkeypatch.setenv("BRIDGE_BROKER", broker.url)
        monkeypatch.setenv("BRIDGE_HTTP__URL", ingest.url)
        result = await asyncio.to_thread(invoke, "check", config, "--json")
        assert result.exit_code == 0
        found = orjson.loads(result.stdout)
        assert {part: one["ok"] for part, one in found.items()} == {"broker": True, "spool": True, "http": True}
        broker.suback_code = 0x87
        result = await asyncio.to_thread(invoke, "check", config)
        assert result.exit_code == 1
        assert "not authorized" in " ".join(result.stdout.split())


def test_check_names_what_is_not_there(config: Path) -> None:
    config.write_text(
        "broker: mqtt://127.0.0.1:1\nhttp: {url: 'http://127.0.0.1:1'}\n"
        "kafka: {bootstrap_servers: '127.0.0.1:1', timeout: 200ms}\nspool: {path: /proc/nowhere/s.db}\n"
    )
    result = invoke("check", config, "--json")
    assert result.exit_code == 1
    found = orjson.loads(result.stdout)
    assert [part for part, one in found.items() if one["ok"]] == []
    assert all("127.0.0.1:1" in found[part]["text"] for part in ("broker", "http", "kafka"))
    assert "set spool.path" in found["spool"]["text"]
