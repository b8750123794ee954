"""Every command that README and docs show is run as it is printed; only ports, hosts and lengths are those of a test.

A command that nothing here knows how to run fails its document, so that none is shown that was never tried.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from urllib.request import Request, urlopen

import kubernetes_validate
import orjson
import pytest
import typer
import yaml

from edgefleet.cli import app
from edgefleet.cli.kafka_config import load_kafka_config
from edgefleet.embedded import MosquittoProcess, answers, free_port
from edgewire.run_record import RunRecord
from tests.deploy.test_helm import find_helm
from tests.services.fixtures import require_package, require_program
from tests.services.s3 import ENVIRONMENT, running_s3

pytestmark = pytest.mark.documents

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/*.md"), *ROOT.glob("[a-z]*/*/*.md")]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELLS = {"sh", "bash", "console", "shell"}
COMMAND = re.compile(
    r"^(\$ )?(edgefleet|make|mosquitto\w*|python3?|pip|kubectl|docker|podman\S*|[A-Z_]+=\S+ ) ?", re.MULTILINE
)

ENDLESS = (
    *("edgefleet broker", "edgefleet ingest", "edgefleet bridge run", "edgefleet watch", "edgefleet web"),
    *("mosquitto_sub", "mosquitto -c", " --stream"),
)
"""What goes on until it is interrupted, as does `edgefleet run` without a duration."""

SHORTER = {
    "--broker embedded --duration 10s": "--broker embedded --duration 2s",
    "--from 2026-03-01T06:00 --to 2026-03-01T12:00": "--from 2026-03-01T06:00 --to 2026-03-01T06:10",
    "--from 2026-03-01T06:00 --to 2026-03-01T10:00": "--from 2026-03-01T06:00 --to 2026-03-01T06:02",
    "--from 2026-03-02 --to 2026-03-02T04:00": "--from 2026-03-02 --to 2026-03-02T00:10",
}
"""Exports and plots that take a while -> what a test does."""
NOT_RUN = {
    "make": "that the target is there, and `make -n` knows its steps",
    "apt-get": "what .ci/run installs",
    "kubectl": "that what it is given is there, and that kustomizations render; tests/deploy has what is in it",
    "helm": "that the chart renders with these options; tests/deploy/test_helm.py has what is in it",
    ".venv/bin/pre-commit": "tests/test_habits.py",
    "pip": "that the package has the extras which are asked for",
    ".": "the tests run in an environment of their own",
    "python": "that a benchmark has these options; it takes minutes",
}
"""First words of commands that are not run, and what is tested instead; clusters are in tests/edgefleet/launch."""


SITE = "site-packages"
"""Below a document's folder: where a package of ours that it installs goes."""


def fenced(document: Path, languages: set[str]) -> list[str]:
    """Return the fenced blocks of a document that are in these languages, in their order."""
    return [body for language, body in FENCE.findall(document.read_text(encoding="utf-8")) if language in languages]


def named_files(document: str) -> Iterator[tuple[str, str]]:
    """Yield the blocks of a document that are files, with their names, with which they begin."""
    for body in fenced(ROOT / document, {"yaml"}):
        if named := re.match(r"# (\S+\.yaml)\n", body):
            yield named[1], body


def commands(block: str) -> list[str]:
    """Return the commands of a block, each in one line and without its comment."""
    text = block.replace("\\\n", " ")
    return [line for line in (re.sub(r"(^|\s)#(?!\^).*", "", line).strip() for line in text.splitlines()) if line]


def handles_sigterm(pid: int) -> bool:
    """Tell whether a process ends in order when it is told to, which is when it has begun its work."""
    caught = re.search(r"^SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) & 1 << signal.SIGTERM - 1)


def can_be_controlled(port: int, token: str | None) -> bool:
    """Tell whether all devices of a run are connected: one that is stopped before says that some never were."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with urlopen(Request(f"http://127.0.0.1:{port}/v1/status", headers=headers), timeout=5) as answer:
            status = orjson.loads(answer.read())
    except OSError:
        return False
    return bool(0 < status["devices"] == status["connected"])


class Terminal:
    """Runs the commands of one document after each other in a folder; what is endless goes on beside the others."""

    def __init__(self, folder: Path, replacements: Mapping[str, str]) -> None:
        self.folder = folder
        self.replacements = dict(replacements)
        self._background: list[tuple[str, subprocess.Popen[bytes]]] = []
        binaries = Path(sys.executable).parent
        self._environment = {
            **os.environ,
            # Where a command names no broker, as one without a file may not, it is the test's.
            "EDGEFLEET_BROKER": self.replacements.get("mqtt://127.0.0.1:1883", "mqtt://127.0.0.1:1883"),
            "PATH": f"{binaries}:{os.environ['PATH']}:/usr/sbin",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder / SITE)]),
        }

    def run_all(self, document: str, *, before: Callable[[str], None] = lambda _: None) -> None:
        """Run every command of a document, each block from the same folder; `before` is told each command first."""
        folder = self.folder
        for block in fenced(ROOT / document, SHELLS):
            self.folder = folder
            for command in commands(block):
                before(command)
                self.run(command)
        self.folder = folder

    def run(self, command: str) -> None:
        """Run a command; fails the test unless it exits with 0."""
        is_example = command.startswith(("python examples/", "python -m benchmarks.plan "))
        is_package = command.startswith("pip install ./")
        if is_package:
            pip = f"{sys.executable} -m pip install --no-index --no-build-isolation --no-deps --target {SITE}"
            command = command.replace("pip install", pip, 1)
        if ((first := command.split()[0]) in NOT_RUN and not is_example) or "--ray" in command:
            self._look_at(first, command)
            return
        for shown, tested in self.replacements.items():
            command = command.replace(shown, tested)
        if first == "cd":
            self.folder /= command.split()[1]
            return
        endless = any(word in command for word in ENDLESS) or (
            "edgefleet run" in command and "--duration" not in command
        )
        if endless:
            self._start(command.removesuffix("&"))
            return
        done = subprocess.run(
            command, shell=True, cwd=self.folder, env=self._environment, capture_output=True, timeout=200, check=False
        )
        assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}"

    def close(self) -> None:
        """Interrupt what is still running, the last first; fails the test where one does not end with 0 then."""
        failed = []
        for command, process in reversed(self._background):
            if "--control" in command:
                process.wait(timeout=60)  # the document has ended it
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
            # mosquitto_sub has no answer to an interrupt of its own.
            if process.returncode != 0 and not command.startswith("mosquitto_sub"):
                failed.append(f"{command}: exit {process.returncode}\n{errors.decode()}")
        self._background.clear()
        assert failed == []

    def interrupt(self, words: str) -> None:
        """Interrupt what goes on that begins with these words, and wait for its end, which is in order."""
        for one in [found for found in self._background if found[0].startswith(words)]:
            self._background.remove(one)
            command, process = one
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, f"{command}: exit {process.returncode}\n{errors.decode()}"

    def kill(self) -> None:
        """End what a failed test has left."""
        for _, process in self._background:
            process.kill()
            process.communicate()

    def _start(self, command: str) -> None:
        bridge_port, environment = self._admin_port(command), dict(self._environment)
        if bridge_port == 0:
            environment["BRIDGE_ADMIN__PORT"] = str(bridge_port := free_port())
        controlled = re.search(r"--control \S*?(\d+)(?: |$)", command)
        control_port = int(controlled[1]) if controlled else None
        if command.startswith("edgefleet run") and control_port is None:
            environment["EDGEFLEET_CONTROL"] = str(control_port := free_port())
        process = subprocess.Popen(
            f"exec {command}",
            shell=True,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._background.append((command, process))
        port = None if "edgefleet broker" in command else re.search(r"--(?:port|metrics) (\d+)", command)
        token_file = re.search(r"--control-token-file (\S+)", command)
        token = (self.folder / token_file[1]).read_text().strip() if token_file else None

        def is_ready() -> bool:
            if control_port:
                return can_be_controlled(control_port, token)
            if bridge_port:
                # What is published before its first subscription is kept for nobody.
                return answers(f"http://127.0.0.1:{bridge_port}/readyz")
            return answers(f"http://127.0.0.1:{port[1]}/metrics") if port else handles_sigterm(process.pid)

        deadline = time.monotonic() + 60
        while not is_ready():
            assert process.poll() is None, f"{command}: {process.communicate()[1].decode()}"
            assert time.monotonic() < deadline, f"{command}: is not ready"
            time.sleep(0.05)

    def _admin_port(self, command: str) -> int | None:
        """Return where the bridge of a command tells whether it is ready; 0 where its file does not say, else None."""
        found = re.search(r"edgefleet bridge run (\S+\.yaml)", command)
        if found is None:
            return None
        config = yaml.safe_load((self.folder / found[1]).read_text(encoding="utf-8"))
        return int((config.get("admin") or {}).get("port") or 0)

    def _renders(self, command: list[str]) -> None:
        """Fail the test unless a command prints manifests that Kubernetes would take."""
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        manifests = [one for one in yaml.safe_load_all(done.stdout) if one]
        assert manifests
        for manifest in manifests:
            kubernetes_validate.validate(manifest, "1.33", strict=True)

    def _look_at(self, first: str, command: str) -> None:
        if first == "make":
            done = subprocess.run(
                command.replace("make", "make -n", 1), shell=True, cwd=ROOT, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
        elif first == "edgefleet":
            found, words = typer.main.get_command(app), command.split()[1:]
            found.commands[words[0]].make_context(words[0], words[1:])  # type: ignore[attr-defined]
        elif first == "python":
            module, *words = command.split()[2:]
            usage = subprocess.run(
                [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
            ).stdout
            assert [word for word in words if word.startswith("--") and word not in usage] == []
        elif first == "pip":
            project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
            (wanted,) = re.findall(r"\[([\w,-]+)\]", command)
            assert set(wanted.split(",")) <= project["optional-dependencies"].keys(), command
        elif first == "kubectl":
            for path in re.findall(r"(?:-[kf] |--from-(?:env-)?file=)([a-z]\S*)", command):
                assert (self.folder / path).exists(), command
            if shutil.which("kubectl") and (folder := re.search(r" apply .*-k (\S+)", command)):
                self._renders(["kubectl", "kustomize", folder[1]])
        elif first == "helm":
            _, _, release, chart, *options = command.split()
            options = [option for option in options if option != "--wait"]
            self._renders([find_helm(), "template", "--kube-version=1.33", release, chart, *options])


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Make a terminal in a copy of what a user has before him: bridge.yaml, scenarios, deploy, README's fleet.yaml."""
    with ExitStack() as stack:

        def open_terminal(**replacements: str) -> Terminal:
            ports = {port: str(free_port()) for port in ("9464", "9465", "8000", "8001")}
            opened = Terminal(tmp_path, {**replacements, **ports, **SHORTER})
            for name in ("scenarios", "deploy", "examples"):
                shutil.copytree(ROOT / name, tmp_path / name)
            shutil.copy(ROOT / "bridge.yaml", tmp_path)
            (fleet,) = (body for body in fenced(ROOT / "README.md", {"yaml"}) if body.startswith("# fleet.yaml"))
            (tmp_path / "fleet.yaml").write_text(fleet)
            for path in (*tmp_path.glob("*.yaml"), *tmp_path.glob("scenarios/*.yaml")):
                text = path.read_text(encoding="utf-8")
                for shown, tested in opened.replacements.items():
                    text = text.replace(shown, tested)
                path.write_text(text, encoding="utf-8")
            stack.callback(opened.kill)
            return opened

        yield open_terminal


@pytest.fixture
def broker(mosquitto_factory: Callable[..., MosquittoProcess]) -> dict[str, str]:
    """What stands for the broker of the documents: a Mosquitto of the test's own, and its clients on the PATH."""
    port = mosquitto_factory().port
    require_program("mosquitto_sub", "mosquitto-clients")
    return {
        "mqtt://broker:1883": f"mqtt://127.0.0.1:{port}",
        "mqtt://127.0.0.1:1883": f"mqtt://127.0.0.1:{port}",
        "edgefleet broker": f"edgefleet broker --port {free_port()}",
        "edgefleet watch": f"edgefleet watch --broker mqtt://127.0.0.1:{port}",
        "mosquitto_sub": f"mosquitto_sub -p {port}",
        "mosquitto_pub": f"mosquitto_pub -p {port}",
        "--duration 5m": "--duration 4s",
        "--duration 1m": "--duration 4s",
    }


DEVICE = "broker: {broker}\ndevices: [{{kind: bme280, count: 1, interval: 1s}}]\n"
FOLLOWED_ELSEWHERE = "docs/device-kinds.md"
"""tests/devices/sensors/test_adding_a_kind.py does what it says, in a copy."""
MESSAGE = '{"device_id":"g1","timestamp":"2026-03-04T12:00:00.000Z","boot":1,"seq":0,"vehicle_id":"V0001","fix":"none"}'


def test_every_document_with_commands_is_one_that_is_run() -> None:
    tested = {FOLLOWED_ELSEWHERE} | set(re.findall(r'"([\w/.-]+\.md)"', Path(__file__).read_text(encoding="utf-8")))
    shown = {str(path.relative_to(ROOT)) for path in DOCUMENTS if fenced(path, SHELLS)}
    assert shown <= tested
    # A block of commands says that it is one.
    assert [path.name for path in DOCUMENTS for body in fenced(path, {""}) if COMMAND.match(body)] == []


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/reliability.md"])
def test_targets_of_make(document: str, terminal: Callable[..., Terminal]) -> None:
    terminal().run_all(document)


@pytest.mark.services
@pytest.mark.timeout(300)
def test_readme(terminal: Callable[..., Terminal], broker: dict[str, str], kafka: str) -> None:
    opened = terminal(**broker, **{"127.0.0.1:9092": kafka})
    (opened.folder / "message.json").write_text(MESSAGE)
    opened.run_all("README.md")
    opened.close()


@pytest.mark.services
@pytest.mark.timeout(300)
def test_a_large_fleet(terminal: Callable[..., Terminal], broker: dict[str, str]) -> None:
    opened = terminal(**broker)
    config = opened.folder / "bridge.yaml"
    config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), "kafka": None}))
    opened.run("edgefleet ingest --port 8000")
    opened.run("edgefleet bridge run bridge.yaml")

    def name_the_run(command: str) -> None:
        if "verify" in command:
            (run,) = (opened.folder / "runs").iterdir()
            opened.replacements["runs/20260301-120000"] = f"runs/{run.name}"

    opened.run_all("docs/fleet.md", before=name_the_run)
    opened.close()


@pytest.mark.services
def test_a_command_to_a_device(terminal: Callable[..., Terminal], broker: dict[str, str]) -> None:
    opened = terminal(**broker)
    (opened.folder / "one.yaml").write_text(DEVICE.format(broker=broker["mqtt://127.0.0.1:1883"]))
    opened.run("edgefleet run one.yaml --metrics 9465")
    opened.run_all("docs/firmware.md")
    opened.close()


@pytest.mark.services
def test_the_broker_that_checks_identities(terminal: Callable[..., Terminal], broker: dict[str, str]) -> None:
    opened = terminal()

    def choose_ports(command: str) -> None:
        if command.startswith("mosquitto"):
            config = opened.folder / "secrets" / "mosquitto.conf"
            config.write_text(
                re.sub(r"^listener \d+", lambda _: f"listener {free_port()} 127.0.0.1", config.read_text(), flags=re.M)
            )

    opened.run_all("docs/security.md", before=choose_ports)
    opened.close()
    terminal_of_the_broker = Terminal(opened.folder, broker)
    terminal_of_the_broker.run_all("mosquitto/README.md")
    terminal_of_the_broker.close()


@pytest.mark.services
@pytest.mark.timeout(300)
def test_a_run_that_is_controlled(
    terminal: Callable[..., Terminal], broker: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = str(free_port())
    monkeypatch.setenv("EDGEFLEET_CTL_FLEET", f"http://127.0.0.1:{port}")
    opened = terminal(
        **broker, **{"8088": port, "8089": str(free_port()), "8090": str(free_port()), "0.0.0.0:": "127.0.0.1:"}
    )
    opened.run_all("docs/control.md")
    opened.close()


@pytest.mark.services
def test_sinks(terminal: Callable[..., Terminal], broker: dict[str, str], kafka: str) -> None:
    opened = terminal(**broker, **{"127.0.0.1:9092": kafka})
    (opened.folder / "message.json").write_text(MESSAGE)
    opened.run("edgefleet ingest --port 8000")
    opened.run_all("docs/sinks.md")
    opened.run_all("docs/spark.md")
    opened.close()


@pytest.mark.services
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "documents", [("docs/dialects.md", "docs/your-own-format.md"), ("docs/platforms.md",)], ids=["devices", "platforms"]
)
def test_dialects(terminal: Callable[..., Terminal], broker: dict[str, str], documents: tuple[str, ...]) -> None:
    opened = terminal(**broker)
    for document in documents:
        for name, body in named_files(document):
            at = broker["mqtt://127.0.0.1:1883"]
            (opened.folder / name).write_text(body.replace("mqtt://127.0.0.1:1883", at))
        for body in fenced(ROOT / document, {"csv"}):
            (opened.folder / "fleet.csv").write_text(body)
        opened.run_all(document)
    opened.close()


@pytest.mark.services
@pytest.mark.timeout(300)
def test_a_kind_of_ones_own(terminal: Callable[..., Terminal], broker: dict[str, str]) -> None:
    opened = terminal(**broker)
    for name, body in named_files("docs/your-own-kind.md"):
        for shown, tested in opened.replacements.items():
            body = body.replace(shown, tested)
        (opened.folder / name).write_text(body)
    opened.run_all("docs/your-own-kind.md")
    opened.close()


@pytest.mark.services
@pytest.mark.timeout(300)
def test_playing_back(terminal: Callable[..., Terminal], broker: dict[str, str]) -> None:
    opened = terminal(**broker)
    for name, body in named_files("docs/replay.md"):
        (opened.folder / name).write_text(body.replace("mqtt://127.0.0.1:1883", broker["mqtt://127.0.0.1:1883"]))
    for language, name in (("csv", "week.csv"), ("xml", "track.gpx")):
        (body,) = fenced(ROOT / "docs/replay.md", {language})
        (opened.folder / name).write_text(body)
    opened.run_all("docs/replay.md")
    assert RunRecord.load(opened.folder / "replay-run").devices
    opened.close()


@pytest.mark.services
@pytest.mark.timeout(300)
def test_learning(terminal: Callable[..., Terminal], broker: dict[str, str]) -> None:
    opened = terminal(**broker)
    for name, body in named_files("docs/learn.md"):
        (opened.folder / name).write_text(body.replace("mqtt://127.0.0.1:1883", broker["mqtt://127.0.0.1:1883"]))
    opened.replacements["--for 1m"] = "--for 6s"
    opened.run_all("docs/learn.md", before=lambda _: point_at_broker(opened.folder / "learned.yaml", broker))
    assert len(RunRecord.load(opened.folder / "learned").devices) == 1400
    assert "works/{site}/{id}/state" in (opened.folder / "heard.yaml").read_text()
    opened.close()


def point_at_broker(scenario: Path, broker: dict[str, str]) -> None:
    """Have a scenario that a command has written run against the test's broker."""
    if scenario.exists():
        text = scenario.read_text().replace("mqtt://127.0.0.1:1883", broker["mqtt://127.0.0.1:1883"])
        scenario.write_text(text)


@pytest.mark.services
def test_a_real_sensor(
    terminal: Callable[..., Terminal], broker: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    at = broker["mqtt://127.0.0.1:1883"]
    program = "tasmota_bme280.py kitchen"
    shorter = {program: f"{program} --broker {at.removeprefix('mqtt://')}", "--period 1 --": "--period 0.05 --"}
    opened = terminal(**broker, **shorter)
    for name, body in named_files("docs/real-sensor.md"):
        (opened.folder / name).write_text(
            body.replace("mqtt://127.0.0.1:1883", at)
            .replace("http://127.0.0.1:8000", f"http://127.0.0.1:{opened.replacements['8000']}")
            .replace("interval: 10s", "interval: 1s")
        )

    def stop_the_fleet(command: str) -> None:
        if "verify" in command:
            opened.interrupt("edgefleet run")

    opened.run_all("docs/real-sensor.md", before=stop_the_fleet)
    record = RunRecord.load(opened.folder / "run")
    assert [span.device_id for span in record.standby] == ["kitchen"]
    opened.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_tests_in_any_other_language(terminal: Callable[..., Terminal]) -> None:
    """The pipeline is ideal: it has stored what the record says was sent."""
    opened = terminal()

    def store(command: str) -> None:
        if "verify" in command:
            record = RunRecord.load(opened.folder / "run")
            ids = [f"{one.device_id}:{one.boot}:{seq}" for one in record.devices for seq in range(one.emitted)]
            (opened.folder / "stored.jsonl").write_bytes(b"".join(orjson.dumps({"id": one}) + b"\n" for one in ids))

    opened.run_all("docs/testing.md", before=store)
    assert b'failures="0"' in (opened.folder / "verdict.xml").read_bytes()


@pytest.mark.parametrize(("number", "schema"), [(0, "vendor.github-workflows"), (1, "vendor.gitlab-ci")])
def test_what_ci_systems_are_told_keeps_their_schemas(number: int, schema: str, tmp_path: Path) -> None:
    path = tmp_path / "ci.yaml"
    path.write_text(fenced(ROOT / "docs" / "testing.md", {"yaml"})[number])
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_files(terminal: Callable[..., Terminal]) -> None:
    opened = terminal()
    (opened.folder / "faulty.yaml").write_text(fenced(ROOT / "docs/faults.md", {"yaml"})[0])
    for name, body in named_files("docs/faults.md"):
        (opened.folder / name).write_text(body)
    opened.run_all("docs/faults.md")
    labels = (opened.folder / "winter-labels.jsonl").read_text()
    assert '"type":"snow"' in labels


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_exports(terminal: Callable[..., Terminal], postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what readers are told to do, and the file that Kafka is reached by."""
    with running_s3("lake") as url:
        for name, value in (ENVIRONMENT | {"AWS_ENDPOINT_URL": url}).items():
            monkeypatch.setenv(name, value)
        opened = terminal(**{"postgresql://me@localhost/fleet": postgres})
        (opened.folder / "faulty.yaml").write_text(fenced(ROOT / "docs/faults.md", {"yaml"})[0])
        opened.run_all("docs/exporting.md")
    for reader in ("pandas", "duckdb", "deltalake"):
        require_package(reader)
    for block in fenced(ROOT / "docs/exporting.md", {"python"}):
        subprocess.run([sys.executable, "-c", block], cwd=opened.folder, check=True, timeout=60)
    (opened.folder / "password").write_text("secret")
    (opened.folder / "kafka.yaml").write_text(fenced(ROOT / "docs/exporting.md", {"yaml"})[0])
    assert load_kafka_config(opened.folder / "kafka.yaml").properties["sasl.password"] == "secret"


def test_a_plan_on_paper(terminal: Callable[..., Terminal]) -> None:
    terminal().run_all("docs/scale.md")


@pytest.mark.slow
def test_several_machines(terminal: Callable[..., Terminal]) -> None:
    opened = terminal()
    opened.run_all("docs/deploy.md")


@pytest.mark.services
@pytest.mark.timeout(300)
def test_what_replaces_the_five_producers(
    terminal: Callable[..., Terminal], broker: dict[str, str], kafka: str, postgres: str
) -> None:
    database = "postgresql://me@localhost/fleet"
    opened = terminal(**broker, **{"backend:8000": "127.0.0.1:8000", "localhost:9092": kafka, database: postgres})
    opened.run("edgefleet ingest --port 8000")
    opened.run_all("docs/migrating.md")
    opened.close()
