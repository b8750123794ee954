"""Runs devices for a test, in a process of its own."""

import asyncio
import json
import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.error import URLError
from urllib.request import urlopen

import yaml
from prometheus_client.parser import text_string_to_metric_families

from edgefleet.embedded import ManagedProcess, free_port, temporary_folder
from edgefleet.embedded.process import LOOPBACK
from edgefleet.testing.broker import LocalBroker
from edgefleet.testing.process import isolated_command
from edgewire.config import duration_ms
from edgewire.errors import ConfigError, EdgefleetError, ServiceUnavailable
from edgewire.run_record import FILE_NAME, RunRecord

WRONG_USAGE = 2
_POLL_S = 0.05
_ASK_S = 5

Duration = str | float | timedelta
"""As in `"250ms"`; a number is seconds."""


class FleetEnded(EdgefleetError):
    """The devices' process ended by itself; says what it printed."""


class FleetCounts(NamedTuple):
    """Counts what all devices together have done so far. What a device did within the last second may be missing."""

    devices: int
    connected: int
    emitted: int
    """Messages, whatever has become of them."""
    acknowledged: int
    """Of those: acknowledged by the broker, or sent at QoS 0."""
    buffered: int
    """Of those: in the devices' outboxes, as during an outage."""
    inflight: int
    dropped: int
    reconnects: int


class EmulatedFleet:
    """Runs devices on a broker from the beginning of a `with` block to its end, in a process of its own.

    Between the two, `run` lets time pass; the devices go on while the test does something else. At the end they send
    what they have and say goodbye.
    """

    def __init__(
        self,
        kind: str | None = None,
        count: int = 1,
        *,
        broker: LocalBroker | str,
        every: Duration | None = None,
        faults: Sequence[Mapping[str, Any]] = (),
        scenario: Mapping[str, Any] | str | Path | None = None,
        start: datetime | str | None = None,
        time_scale: float | None = None,
        seed: int | None = None,
        workers: int = 1,
        connect_timeout: float = 60,
        folder: Path | None = None,
        **group: Any,
    ) -> None:
        """Prepare `count` devices of a kind, each with a reading `every` so often, on a broker of ours or at a URL.

        `group` are further keys of a device group of a scenario, such as `dialect`, `qos` or `settings`. Beside a kind,
        or instead, `scenario` is the content of a scenario, to whose devices and faults these come; or it is a file,
        which is run as it is. Devices live from `start` on, in a time that passes `time_scale` times as fast. All that
        is left is in `folder`, which is made; by default it is one that is gone when the fleet is closed.

        Raises `ValueError` for what contradicts itself; what the scenario cannot be is told by `start`.
        """
        if kind is None and scenario is None:
            raise ValueError("names neither a kind, such as 'bme280', nor a scenario")
        if kind is None and (every is not None or group or count != 1):
            raise ValueError("count, every and keys of a group need a kind: write them into the scenario")
        if not isinstance(broker, LocalBroker | str):
            raise ValueError(f"broker should be edgefleet.broker() or a URL, got {type(broker).__name__}")
        self.broker = broker
        self.time_scale = time_scale
        groups = [] if kind is None else [{"kind": kind, "count": count, **_interval(every), **group}]
        if isinstance(scenario, str | Path) and (groups or faults):
            raise ValueError("a scenario's file is run as it is: give its content as a dict, to add devices or faults")
        self._file = Path(scenario).absolute() if isinstance(scenario, str | Path) else None
        self._scenario = {} if isinstance(scenario, str | Path) else _with(scenario or {}, groups, list(faults))
        self._is_temporary = folder is None
        self.folder = folder or temporary_folder("fleet")
        self.record_folder = self.folder / "run"
        """Where the run record is once the fleet has stopped: `edgefleet verify` takes it as well."""
        self._metrics_port = free_port()
        self._start, self._workers, self._seed = start, workers, seed
        self._process = ManagedProcess(
            "the fleet",
            isolated_command("edgefleet", *self._arguments()),
            ready=self._is_connected,
            folder=self.folder / "process",
            start_timeout_s=connect_timeout,
        )

    # -- its life

    def start(self) -> Self:
        """Start the devices and wait until all are connected.

        Raises `ConfigError` for a scenario that is none, `ServiceUnavailable` where the devices do not connect in time.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._file is None:
            self._scenario_path.write_text(json.dumps(self._scenario, default=_plain, indent=1), encoding="utf-8")
        try:
            self._process.start()
        except ServiceUnavailable as error:
            if self._process.exit_code == WRONG_USAGE:
                raise ConfigError(self._process.log_tail().removeprefix("edgefleet: ")) from None
            raise ServiceUnavailable(str(error)) from None
        return self

    def stop(self, drain: float = 60) -> None:
        """End it in order: the devices have up to `drain` seconds for what they have not sent; then read `record`."""
        self._process.terminate(drain)

    def kill(self) -> None:
        """End it as a crash would. The record then holds what was known at the last checkpoint."""
        self._process.kill()

    def close(self) -> None:
        """Stop it, and delete its folder unless one was given."""
        self._process.close()
        if self._is_temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def running(self) -> bool:
        """Return whether the devices run."""
        return self._process.running

    @property
    def record(self) -> RunRecord:
        """Return what each device emitted and what became of it, once it has stopped; before, as of a checkpoint."""
        return RunRecord.load(self.record_folder)

    @property
    def has_record(self) -> bool:
        """Return whether there is a record of it, or a checkpoint."""
        return (self.record_folder / FILE_NAME).exists()

    @property
    def problems(self) -> list[str]:
        """Return in sentences what is missing by the fleet's own account, once it has stopped."""
        return list(self.record.problems.values())

    def log_tail(self) -> str:
        """Return the last lines that it printed."""
        return self._process.log_tail()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- while it runs

    def run(
        self,
        seconds: float | None = None,
        *,
        simulated: Duration | None = None,
        messages: int | None = None,
        timeout: float = 300,
    ) -> FleetCounts:
        """Let it run for so many seconds, for so long in the devices' time, or until so many more messages are emitted.

        Returns the counts of then. Raises `FleetEnded` where its process ends meanwhile, `TimeoutError` where the
        messages take longer than `timeout` seconds.
        """
        for pause_s in self.waits(seconds, simulated, messages, timeout):
            time.sleep(pause_s)
        return self.counts()

    def broker_outage(self, seconds: float) -> None:
        """Take the broker away for so long, from the devices and from whoever else is connected; the devices go on.

        Raises `ValueError` where the broker is not ours to take away.
        """
        self.own_broker().outage(seconds)

    def counts(self) -> FleetCounts:
        """Return what the devices have done so far; raises `FleetEnded` where its process has ended."""
        try:
            with urlopen(f"http://{LOOPBACK}:{self._metrics_port}/metrics", timeout=_ASK_S) as answer:
                text = answer.read().decode()
        except (OSError, URLError):
            raise self._ended() from None
        sums: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name.removeprefix("edgefleet_").removesuffix("_total")
                sums[name] = sums.get(name, 0) + sample.value
        sums["acknowledged"] = sums.get("acknowledged", 0) + sums.get("sent_qos0", 0)
        return FleetCounts(*(int(sums.get(name, 0)) for name in FleetCounts._fields))

    def waits(
        self, seconds: float | None, simulated: Duration | None, messages: int | None, timeout: float
    ) -> Iterator[float]:
        """Yield pauses in seconds until it is over; raises what `run` raises."""
        given = [one for one in (seconds, simulated, messages) if one is not None]
        if len(given) != 1:
            raise ValueError("give one of seconds, simulated and messages")
        begun = time.monotonic()
        if messages is not None:
            wanted = self.counts().emitted + messages
            while self.counts().emitted < wanted:
                if time.monotonic() - begun > timeout:
                    raise TimeoutError(f"{wanted - self.counts().emitted} of {messages} messages were not emitted yet")
                yield _POLL_S
            return
        if seconds is None:
            assert simulated is not None
            seconds = to_seconds(simulated) / self._scale
        while (left := begun + seconds - time.monotonic()) > 0:
            if not self._process.running:
                raise self._ended()
            yield min(_POLL_S, left)

    @property
    def _scale(self) -> float:
        content = self._scenario if self._file is None else yaml.safe_load(self._file.read_text(encoding="utf-8"))
        if any("time_scale" in step for step in content.get("steps") or ()):
            raise ValueError("simulated: a step of the scenario changes the time scale: give seconds or messages")
        return float(content.get("time_scale", 1)) if self.time_scale is None else self.time_scale

    def _is_connected(self) -> bool:
        try:
            counts = self.counts()
        except FleetEnded:
            return False
        return 0 < counts.devices <= counts.connected

    def own_broker(self) -> LocalBroker:
        """Return the broker, for outages; raises `ValueError` where it is somebody else's."""
        if isinstance(self.broker, str):
            raise ValueError(f"the broker at {self.broker} is not ours to take away: stop it as it was started")
        return self.broker

    def _ended(self) -> FleetEnded:
        return FleetEnded(f"the fleet does not run; it printed:\n{self._process.log_tail()}")

    # -- how it is started

    @property
    def _scenario_path(self) -> Path:
        return self._file or self.folder / "scenario.yaml"

    def _arguments(self) -> list[str | Path]:
        url = self.broker if isinstance(self.broker, str) else self.broker.url
        found: list[str | Path] = ["run", self._scenario_path, "--broker", url, "--record", self.record_folder]
        found += ["--overwrite", "--metrics", str(self._metrics_port), "--log-level", "warning"]
        if self.time_scale is not None:
            found += ["--time-scale", f"{self.time_scale:g}"]
        if self._seed is not None:
            found += ["--seed", str(self._seed)]
        if self._start is not None:
            found += ["--from", self._start.isoformat() if isinstance(self._start, datetime) else self._start]
        if self._workers > 1:
            found += ["--workers", str(self._workers)]
        if isinstance(self.broker, LocalBroker):
            found.append("--no-check")
        return found


class AsyncFleet:
    """Runs devices as `EmulatedFleet` does, for tests that are coroutines."""

    def __init__(self, fleet: EmulatedFleet) -> None:
        """Run a fleet that has not been started yet."""
        self.fleet = fleet

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.fleet.__enter__)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.fleet.stop)

    async def run(
        self,
        seconds: float | None = None,
        *,
        simulated: Duration | None = None,
        messages: int | None = None,
    ) -> FleetCounts:
        """Let it run as `EmulatedFleet.run` does, without a time limit of its own."""
        for pause_s in self.fleet.waits(seconds, simulated, messages, math.inf):
            await asyncio.sleep(pause_s)
        return await self.counts()

    async def broker_outage(self, seconds: float) -> None:
        """Take the broker away as `EmulatedFleet.broker_outage` does."""
        broker = self.fleet.own_broker()
        await asyncio.to_thread(broker.cut_off)
        try:
            await asyncio.sleep(seconds)
        finally:
            await asyncio.to_thread(broker.restore)

    async def counts(self) -> FleetCounts:
        """Return what the devices have done so far."""
        return await asyncio.to_thread(self.fleet.counts)


def to_seconds(duration: Duration) -> float:
    """Return a duration in seconds; raises `ValueError` for a text that is none."""
    if isinstance(duration, str):
        return duration_ms(duration) / 1000
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


def _interval(every: Duration | None) -> dict[str, str]:
    return {} if every is None else {"interval": f"{round(to_seconds(every) * 1000)}ms"}


def _with(scenario: Mapping[str, Any], groups: list[dict[str, Any]], faults: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a scenario with these groups and faults beside its own."""
    found = {**scenario, "devices": [*scenario.get("devices", []), *groups]}
    all_faults = [*scenario.get("faults", []), *faults]
    return found | ({"faults": all_faults} if all_faults else {})


def _plain(value: object) -> object:
    """Return what JSON knows for a value of a scenario."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"{round(value.total_seconds() * 1000)}ms"
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{value!r} is nothing that a scenario has")
