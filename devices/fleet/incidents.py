"""Counts what a broker refuses or ends, and what a device does not heed, each by its reason.

Whoever sees it happen tells the `IncidentRecorder` of the process, which also says it in the log, now and then;
`Incidents` are the numbers, which several processes can add up.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from time import monotonic
from typing import Any

from edgewire import logs
from edgewire.run_record import BY_REQUEST

REASONS = 64
"""Reasons that are told apart for each thing; a broker that makes up ever new ones fills no memory."""
OTHER = "other reasons"
NO_PORT = "no local port is free"
EXAMPLES = 3
"""Devices that are named of each thing; they are all counted."""
LOG_EVERY_S = 10.0

log = logs.get("fleet")


@dataclass(slots=True)
class DeviceTally:
    """Counts something that happens to devices: how often, to how many of them, and the names of the first few."""

    events: int = 0
    devices: int = 0
    examples: list[str] = field(default_factory=list)

    def merge(self, other: "DeviceTally") -> None:
        """Count what another one has counted, of other devices."""
        self.events += other.events
        self.devices += other.devices
        self.examples = (self.examples + other.examples)[:EXAMPLES]

    @property
    def names(self) -> str:
        """Return the names of the first few, and whether there are more."""
        return ", ".join(self.examples) + (", …" if self.devices > len(self.examples) else "")


@dataclass(slots=True, kw_only=True)
class Incidents:
    """Holds the counts since the start of the run."""

    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(kind of device, reason) -> messages that the broker refused, or said beforehand that it would."""
    server_disconnects: Counter[str] = field(default_factory=Counter)
    """Reason -> connections that the broker ended with a DISCONNECT."""
    connects_refused: Counter[str] = field(default_factory=Counter)
    """Reason -> connections that the broker refused, by CONNACK or by closing them before."""
    connects_failed: Counter[str] = field(default_factory=Counter)
    """Reason -> dials that came to nothing here or on the way, such as for want of open files."""
    controls_refused: Counter[str] = field(default_factory=Counter)
    """Reason -> statuses and results of commands that the broker refused."""
    subscribes_refused: Counter[str] = field(default_factory=Counter)
    """Reason -> subscriptions to commands that the broker refused."""
    adapted: Counter[str] = field(default_factory=Counter)
    """What -> things that devices do otherwise than they are set to, as the broker's limits ask for."""
    ignored: Counter[str] = field(default_factory=Counter)
    """What -> things from the broker that a device did not heed."""
    withdrawals: Counter[str] = field(default_factory=Counter)
    """Why -> times that an emulator in standby left its place to a real sensor."""
    takeovers: DeviceTally = field(default_factory=DeviceTally)
    """Connections that ended because another client used the id of the device."""
    deaf: DeviceTally = field(default_factory=DeviceTally)
    """Devices that take no commands, as the broker refused their subscription."""
    unanswered: DeviceTally = field(default_factory=DeviceTally)
    """Devices that are connected, and of whose messages the broker acknowledges none for a long time."""

    def merge(self, other: "Incidents") -> None:
        """Count what another process has counted."""
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            if isinstance(mine, Counter):
                mine.update(theirs)
            else:
                mine.merge(theirs)

    def copy(self) -> "Incidents":
        """Return one that no longer changes with this one."""
        copy = Incidents()
        copy.merge(self)
        return copy

    def to_json(self) -> dict[str, Any]:
        """Return what there is of it, as a run record holds it; `refused` stands there by itself."""
        counts = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "refused"}
        return {
            name: dict(value) if isinstance(value, Counter) else asdict(value)
            for name, value in counts.items()
            if (value.total() if isinstance(value, Counter) else value.events)
        }

    def by_reason(self) -> Counter[str]:
        """Return how many messages were refused for each reason, of all kinds."""
        totals: Counter[str] = Counter()
        for (_, reason), count in self.refused.items():
            totals[reason] += count
        return totals


class IncidentRecorder:
    """Counts incidents of the devices of one process, and logs each sort of them once in a while."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        """Read seconds for the log's pauses from `clock`."""
        self.incidents = Incidents()
        self._clock = clock
        self._devices: dict[str, set[str]] = {}
        self._logged_s: dict[tuple[str, str], float] = {}

    def record_refused(self, kind: str, reason: str, count: int = 1) -> None:
        """Count messages of a kind of device that the broker will never take."""
        refused = self.incidents.refused
        if (kind, reason) not in refused:
            reason = _bounded(reason, self.incidents.by_reason())
        refused[kind, reason] += count
        self._log("the broker refuses messages", f"{kind} {reason}", kind=kind, reason=reason)

    def record_control_refused(self, reason: str, device_id: str = "") -> None:
        """Count a status, or the result of a command, that the broker will never take."""
        _count(self.incidents.controls_refused, reason)
        self._log("the broker refuses the status of devices", reason, reason=reason, device=device_id)

    def record_adapted(self, what: str, device_id: str = "") -> None:
        """Count something that a device does otherwise than it is set to, as the broker's limits ask for."""
        _count(self.incidents.adapted, what)
        self._log("the broker's limits are obeyed", what, what=what, device=device_id)

    def record_server_disconnect(self, reason: str, device_id: str = "", fix: str = "", said: str = "") -> None:
        """Count a connection that the broker ended, by a DISCONNECT mostly; `said` is all that stood there."""
        _count(self.incidents.server_disconnects, reason)
        details = {"fix": fix, "said": said}
        self._log("the broker ended a connection", reason, reason=reason, device=device_id, **_given(details))

    def record_connect_refused(self, reason: str, device_id: str = "", fix: str = "") -> None:
        """Count a connection that the broker refused, or closed before it had accepted it."""
        _count(self.incidents.connects_refused, reason)
        self._log("the broker refuses connections", reason, reason=reason, device=device_id, **_given({"fix": fix}))

    def record_connect_failed(self, reason: str) -> None:
        """Count a dial that came to nothing here or on the way."""
        _count(self.incidents.connects_failed, reason)
        self._log("dials fail", reason, reason=reason)

    def record_subscribe_refused(self, device_id: str, reason: str, fix: str = "") -> None:
        """Count a subscription to a device's commands that the broker refused or did not answer."""
        _count(self.incidents.subscribes_refused, reason)
        self._count_device(self.incidents.deaf, "deaf", device_id)
        self._log(
            "the broker refuses the subscription to commands",
            reason,
            reason=reason,
            device=device_id,
            **_given({"fix": fix}),
        )

    def record_takeover(self, device_id: str) -> None:
        """Count that another client has thrown a device out by using its id."""
        self._count_device(self.incidents.takeovers, "takeovers", device_id)
        self._log(
            "another client uses the id of a device (another run? the real sensor?)",
            "",
            device=device_id,
            so_far=self.incidents.takeovers.events,
        )

    def record_withdrawal(self, why: str, device_id: str) -> None:
        """Count that an emulator has left its place to a real sensor, and how that showed itself."""
        _count(self.incidents.withdrawals, why)
        said = "" if why == BY_REQUEST else ": a real sensor speaks in its place"
        self._log(f"an emulator withdraws{said}", why, why=why, device=device_id)

    def log_return(self, device_id: str, away_s: float) -> None:
        """Say that an emulator is back in its place, as the real sensor is silent."""
        self._log("an emulator returns: the real sensor is away", "", device=device_id, silent_s=round(away_s))

    def log_unwatched(self, reason: str) -> None:
        """Say that nobody watches what real sensors say: emulators that have withdrawn stay so."""
        self._log("the broker lets nobody watch for real sensors: emulators that withdraw stay away", "", reason=reason)

    def record_never_acknowledged(self, device_id: str) -> None:
        """Count a connection on which the broker has acknowledged nothing for a long time."""
        self._count_device(self.incidents.unanswered, "unanswered", device_id)
        self._log("the broker acknowledges no message", "", device=device_id, fix="look into its log, and at its load")

    def record_ignored(self, what: str) -> None:
        """Count something from the broker that a device did not heed, such as `retained command`."""
        _count(self.incidents.ignored, what)
        self._log("ignored", what, what=what)

    def _count_device(self, tally: DeviceTally, name: str, device_id: str) -> None:
        seen = self._devices.setdefault(name, set())
        tally.events += 1
        if device_id not in seen:
            seen.add(device_id)
            tally.devices += 1
            if len(tally.examples) < EXAMPLES:
                tally.examples.append(device_id)

    def _log(self, event: str, key: str, **details: str | int) -> None:
        now = self._clock()
        last = self._logged_s.get((event, key))
        if last is None and len(self._logged_s) >= 8 * REASONS:
            return
        if last is None or now - last >= LOG_EVERY_S:
            self._logged_s[event, key] = now
            log.warning(event, **details)


def _given(details: dict[str, str]) -> dict[str, str]:
    """Return what there is to tell."""
    return {name: text for name, text in details.items() if text}


def top_reason(counts: Counter[str]) -> str:
    """Return the most frequent reason, with its count and that of the others where there are others."""
    ((reason, count),) = counts.most_common(1)
    return f"{reason} {count:,} times, and {len(counts) - 1} other reasons" if len(counts) > 1 else reason


def _count(counter: Counter[str], reason: str) -> None:
    counter[_bounded(reason, counter)] += 1


def _bounded(reason: str, known: Counter[str]) -> str:
    return reason if reason in known or len(known) < REASONS else OTHER
