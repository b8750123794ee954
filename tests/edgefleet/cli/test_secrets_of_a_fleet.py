"""A fleet whose secrets are in files reaches broker and ingest by them, and shows them nowhere."""

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from edgefleet.cli import app
from edgefleet.embedded import MosquittoProcess
from edgefleet.ingest.server import IngestConfig
from edgefleet.provision.mosquitto import password_file

PASSWORD = "C4N4RY-password"
TOKEN = "C4N4RY-token"
QUERY = "C4N4RY-query"


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of secrets, and the variables that name its files."""
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    for name, text in (("password", PASSWORD), ("token", TOKEN)):
        (folder / name).write_text(text + "\n")
        (folder / name).chmod(0o600)
    monkeypatch.setenv("EDGEFLEET_INGEST_TOKEN_FILE", str(folder / "token"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("edgefleet.cli.run.start_logging", lambda _: None)
    return folder


def command(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*words])
    return done.exit_code, f"{done.output} {done.exception}"


def written(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file() and path.parent.name != "secrets":
            yield path, path.read_bytes()


@pytest.fixture
def echo() -> Iterator[tuple[str, list[str]]]:
    """A server that refuses what it is sent and repeats it; and what it got as Authorization."""
    seen: list[str] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            seen.append(self.headers.get("Authorization", ""))
            body = orjson.dumps({"error": f"{self.path} {dict(self.headers)}"})
            self.send_response(403 if self.path.startswith("/ingest") else 400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815 - the name that the library asks for

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()


@pytest.mark.slow
@pytest.mark.services
def test_a_run_its_record_report_and_verification(
    secrets: Path,
    tmp_path: Path,
    mosquitto_factory: Callable[..., MosquittoProcess],
    monkeypatch: pytest.MonkeyPatch,
    echo: tuple[str, list[str]],
) -> None:
    accounts = secrets / "accounts"
    accounts.touch(mode=0o600)
    accounts.write_text(password_file({"fleet": PASSWORD}))
    broker = mosquitto_factory({"allow_anonymous": "false", "password_file": str(accounts)})
    place = f"{broker.host}:{broker.port}"
    (tmp_path / "fleet.yaml").write_text("devices: [{kind: bme280, interval: 100ms}]\n")
    monkeypatch.setenv("EDGEFLEET_BROKER", f"mqtt://fleet@{place}")
    monkeypatch.setenv("EDGEFLEET_PASSWORD_FILE", str(secrets / "password"))
    run = ("run", "fleet.yaml", "--messages", "3", "--record", "run", "--overwrite", "--html", "run.html")
    emitted = [command(*run), command("doctor", "fleet.yaml"), command("forget", "fleet.yaml")]
    assert [code for code, _ in emitted] == [0, 0, 0], emitted
    monkeypatch.delenv("EDGEFLEET_BROKER")
    monkeypatch.delenv("EDGEFLEET_PASSWORD_FILE")
    # The same with the password in the URL, right and wrong.
    (secrets / "url").write_text(f"mqtt://fleet:{PASSWORD}@{place}")
    (secrets / "wrong").write_text(f"mqtt://fleet:{PASSWORD}-wrong@{place}")
    for name, expected in (("url", 0), ("wrong", 1)):
        monkeypatch.setenv("EDGEFLEET_BROKER_FILE", str(secrets / name))
        code, said = command(*run, "--json")
        assert code == expected, said
        emitted += [(code, said), command("doctor", "fleet.yaml", "--json")]
    emitted.append(command("watch", "--count", "1"))
    url, seen = echo
    for more in ([], ["--json"], ["--html", "verify.html"]):
        emitted.append(command("verify", "run", "--ingest", url, "--wait", "0s", *more))
    assert f"Bearer {TOKEN}" in seen
    for _, said in emitted:
        assert said.strip()
        assert "C4N4RY" not in said
    names = set()
    for path, content in written(tmp_path):
        names.add(path.name)
        assert b"C4N4RY" not in content, path
    assert {"run.json", "run.html"} <= names


@pytest.mark.parametrize("path", ["/ingest/batch", "/hook"])
def test_an_upload_that_the_server_refuses_and_repeats(
    path: str, secrets: Path, tmp_path: Path, echo: tuple[str, list[str]]
) -> None:
    url, seen = echo
    (tmp_path / "fleet.yaml").write_text("devices: [{kind: bme280}]\n")
    upload = ("generate", "fleet.yaml", "--records", "3", "--upload", f"{url}{path}?key={QUERY}")
    for more in ([], ["--json"], ["--stream", "--print", "--interval", "1ms"]):
        code, said = command(*upload, *more)
        assert code == 1
        assert "***" in said
        assert "C4N4RY" not in said
    assert f"Bearer {TOKEN}" in seen
    for name, content in written(tmp_path):
        assert b"C4N4RY" not in content, name


def test_the_ingest_takes_its_tokens_from_a_file(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[IngestConfig] = []

    async def serve(config: IngestConfig, _stop: object, announce: Callable[[str], None]) -> None:
        given.append(config)
        announce("http://127.0.0.1:8000")

    monkeypatch.setattr("edgefleet.ingest.server.serve", serve)
    monkeypatch.setattr("edgefleet.cli.ingest.start_logging", lambda _: None)
    monkeypatch.setenv("EDGEFLEET_INGEST_STORE", f"postgresql://u:{PASSWORD}@h/db?password={PASSWORD}")
    for more in ([], ["--json"]):
        code, said = command("ingest", *more)
        assert code == 0
        assert "C4N4RY" not in f"{said} {given}"
    assert [one.tokens for one in given] == [(TOKEN,)] * 2
