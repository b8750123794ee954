"""`edgefleet bridge`: exit codes, tables and JSON."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from bridge.spool.message import CursorUpdate, DeadLetter
from bridge.spool.store import SpoolStore
from edgefleet.cli.bridge import app
from edgewire.errors import ConfigError, EdgefleetError
from tests.bridge.fakes import ingest_stub, scripted_broker, spooled

runner = CliRunner()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose spool has a history."""
    store = SpoolStore(tmp_path / "spool.db", ["http"])
    letter = DeadLetter(
        sink="http", message_id=2, received_ms=0, topic="t", payload=b"\xff{", reason="bad", attempts=3, dead_ms=5
    )
    store.commit([spooled(number) for number in range(1, 11)])
    store.commit(updates=[CursorUpdate(sink="http", cursor=4, delivered=3, dead_letters=(letter,))])
    store.close()
    path = tmp_path / "bridge.yaml"
    path.write_text(f"spool: {{path: {tmp_path / 'spool.db'}}}\nhttp: {{}}\n")
    return path


def invoke(*arguments: object) -> Any:
    return runner.invoke(app, [str(one) for one in arguments], catch_exceptions=False)


LETTERS = [["dead-letters", one] for one in ("list", "show", "replay", "drop")]


@pytest.mark.parametrize("command", [["run"], ["check"], ["status"], *LETTERS])
def test_every_command_has_an_example(command: list[str]) -> None:
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    assert "Example: edgefleet bridge" in " ".join(result.output.split())


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("command", [("status",), ("dead-letters", "list")])
def test_no_figure_is_cut_on_a_terminal_of_any_width(config: Path, command: tuple[str, ...], columns: int) -> None:
    result = runner.invoke(app, [*command, str(config)], env={"COLUMNS": str(columns)}, catch_exceptions=False)
    assert "…" not in result.output
    assert max(map(len, result.output.splitlines())) <= columns
    assert "http" in result.output
    assert "1970-01-01T00:00:0" in result.output


def test_status_prints_the_books(config: Path) -> None:
    result = invoke("status", config, "--json")
    assert result.exit_code == 0
    (books,) = orjson.loads(result.output)["sinks"]
    assert (books["received"], books["delivered"], books["dead_lettered"], books["pending"]) == (10, 3, 1, 6)
    assert books["balanced"] is True
    assert "1970-01-01T00:00:01.005Z" in invoke("status", config).output


def test_books_that_do_not_balance_are_exit_code_1(config: Path) -> None:
    store = SpoolStore(config.parent / "spool.db", ["http"])
    store._database.execute("DELETE FROM messages WHERE id = 7")
    store.close()
    assert invoke("status", config).exit_code == 1


def test_dead_letters_are_listed_with_their_reason(config: Path) -> None:
    result = invoke("dead-letters", "list", config, "--json")
    (letter,) = orjson.loads(result.output)["dead_letters"]
    assert (letter["reason"], letter["attempts"], letter.get("payload")) == ("bad", 3, None)
    assert "bad" in invoke("dead-letters", "list", config).output
    assert "no dead letters" in invoke("dead-letters", "list", config, "--sink", "kafka").output


def test_what_a_device_wrote_is_printed_as_it_is(config: Path) -> None:
    store = SpoolStore(config.parent / "spool.db", ["http"])
    store._database.execute("UPDATE dead_letters SET reason = 'boot is \"[/red]\"', topic = 'a/[bold]'")
    store.close()
    printed = invoke("dead-letters", "list", config).output
    assert 'boot is "[/red]"' in " ".join(printed.split())
    assert "a/[bold]" in printed


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["1"], True),
        (["2"], False),
        (["--topic", "t/#"], True),
        (["--topic", "a/+"], False),
        (["--reason", "BA"], True),
        (["--reason", "good"], False),
        (["--since", "1970-01-01T00:00:00.005Z"], True),
        (["--until", "1970-01-01T00:00:00.005Z"], False),
        (["--sink", "http", "--until", "2026-01-01"], True),
    ],
)
def test_dead_letters_are_chosen_by_what_is_given(config: Path, filters: list[str], found: bool) -> None:
    result = invoke("dead-letters", "list", config, *filters, "--json")
    assert len(orjson.loads(result.output)["dead_letters"]) == found


def test_one_dead_letter_is_shown_whole(config: Path) -> None:
    letter = orjson.loads(invoke("dead-letters", "show", config, 1).stdout)
    assert (letter["message_id"], letter["payload_base64"]) == (2, "/3s=")
    assert letter["dead"] == "1970-01-01T00:00:00.005Z"
    assert invoke("dead-letters", "show", config, 2).exit_code == 1


def test_replayed_and_dropped_dead_letters_stay_in_the_books(config: Path) -> None:
    def books() -> dict[str, Any]:
        ledger = orjson.loads(invoke("status", config, "--json").output)
        assert ledger["balanced"] is True
        return ledger["sinks"][0]  # type: ignore[no-any-return]

    assert "no dead letters fit" in invoke("dead-letters", "replay", config, "--sink", "kafka").output
    assert orjson.loads(invoke("dead-letters", "replay", config, 1, "--json").output) == {"replaying": 1}
    assert (books()["dead_lettered"], books()["pending"]) == (0, 7)
    assert "no dead letters fit" in invoke("dead-letters", "drop", config, "--all").output  # it is pending


def test_dropping_is_counted(config: Path) -> None:
    assert "dropped 1 dead letters" in invoke("dead-letters", "drop", config, "--reason", "bad").output
    ledger = orjson.loads(invoke("status", config, "--json").output)
    assert ledger["balanced"] is True
    assert (ledger["sinks"][0]["dead_lettered"], ledger["sinks"][0]["discarded"]) == (0, 1)
    assert ledger["spool_bytes"] > 0


@pytest.mark.parametrize("command", ["replay", "drop"])
@pytest.mark.parametrize("arguments", [[], ["--since", "yesterday"], ["--topic", "a/#/b"]])
def test_which_dead_letters_must_be_said(config: Path, command: str, arguments: list[str]) -> None:
    assert invoke("dead-letters", command, config, *arguments).exit_code == 2


def test_a_time_that_is_none_is_named_with_its_option(config: Path) -> None:
    said = " ".join(invoke("dead-letters", "list", config, "--until", "yesterday").output.replace("│", "").split())
    assert "--until: 'yesterday' is no time: write 2026-03-01 or 2026-03-01T12:00:00Z" in said


def test_a_spool_that_is_a_folder_is_found_by_check(config: Path) -> None:
    config.write_text(
        f"broker: mqtt://127.0.0.1:1\nfile: {{folder: {config.parent}}}\nspool: {{path: {config.parent}}}"
    )
    spool = orjson.loads(invoke("check", config, "--json").output)["spool"]
    assert spool == {"ok": False, "text": f"{config.parent} cannot be written to: Is a directory; set spool.path"}


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
