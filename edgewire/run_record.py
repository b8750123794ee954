"""The run record, in which a fleet says what it emitted: `run.json`, written by the fleet, read by verification.

It is the fleet's own account and knows nothing of brokers, bridges or sinks. Plain dataclasses, because a fleet
may have 100,000 devices; they are validated only when a file is read. `run_folder` writes it while the run goes on.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from edgewire.clock import FIRST_MS, LAST_MS, iso_ms
from edgewire.config import describe_error
from edgewire.device_time import DeviceTime
from edgewire.errors import ConfigError
from edgewire.output import is_stream, make_output_folder, partial_path, resolve_output, write_output

FILE_NAME = "run.json"

FORMAT = 2
"""Of the file. A reader refuses a newer one, in which something may be missing that it does not look for."""

ACTIONS_TOLD = 5
"""As many are told one by one."""

MOST_SHARDS = 1_000_000
"""Of a run. What is missing is told shard by shard, and a number in a file may be any."""

Count = Annotated[int, Field(ge=0, lt=1 << 53)]
"""Of messages, devices or connections; also a boot, or a seq. As far as numbers of JSON are exact."""

Moment = Annotated[int, Field(ge=FIRST_MS, le=LAST_MS)]
"""Milliseconds since 1970 UTC, of a time that can be written."""

TimeScale = Annotated[float, Field(ge=1e-6, le=1e6)]
"""How much faster than the wall's the devices' time passes."""

SeqRange = tuple[Count, Count]
"""First and last seq of a run of messages, both included."""

ShardNumber = tuple[Count, Count]
"""Index and count: every `count`-th device of the scenario, from device `index`."""


def make_folder(folder: Path) -> None:
    """Make the folder of a run record where it is missing. Raises `ConfigError` where nothing can be written there."""
    try:
        make_output_folder(folder)
        path = folder / FILE_NAME
        if not is_stream(path):
            partial = partial_path(resolve_output(path))
            partial.touch()
            partial.unlink()
    except OSError as error:
        raise ConfigError(f"{folder / FILE_NAME}: the run record cannot be written: {error.strerror}") from None


def count_seqs(ranges: Iterable[SeqRange]) -> int:
    """Return how many messages are in these ranges."""
    return sum(last - first + 1 for first, last in ranges)


@dataclass(slots=True, kw_only=True)
class DeviceRecord:
    """Tells one boot of one device. A device that emitted nothing has neither a first nor a last seq."""

    device_id: str
    kind: str
    site: str
    boot: Count
    first_seq: Count | None = None
    last_seq: Count | None = None
    acknowledged: Count = 0
    """Messages that the broker acknowledged."""
    sent_qos0: Count = 0
    """Messages that were written to the socket at QoS 0: nobody says whether they arrived."""
    refused: dict[str, list[SeqRange]] = field(default_factory=dict)
    """Reason -> messages that the broker refused, or said beforehand that it would."""
    dropped: list[SeqRange] = field(default_factory=list)
    """Emitted, then given up: by a full outbox, a fault or a reset."""
    dropped_by_fault: Count = 0
    """Of those dropped: by a fault of the scenario or a reset."""
    unsent: list[SeqRange] = field(default_factory=list)
    """Still in the outbox when the run stopped, or sent and never acknowledged: it may have arrived."""
    unacknowledged: list[SeqRange] = field(default_factory=list)
    """Of those unsent: sent and never acknowledged."""
    unacknowledged_by_fault: Count = 0
    """Of those: before a reset."""
    reconnects: Count = 0
    due_offset_ms: Annotated[int, Field(ge=FIRST_MS, le=LAST_MS)] = 0
    """So much later than the record's own times say were its messages due: its shard had begun so much later."""
    changed_ms: Moment | None = None
    """The devices' time from which it said something else than the scenario has, because a command changed its schedule
    or its faults; None where none did."""
    renames: list[tuple[Count, str]] = field(default_factory=list)
    """The names that it was called by instead of its id, each from the message of this seq on."""

    @property
    def refused_ranges(self) -> list[SeqRange]:
        """Return what the broker refused, for whatever reason."""
        return [one for ranges in self.refused.values() for one in ranges]

    @property
    def emitted(self) -> int:
        """Return how many messages there are from the first to the last seq, which has no gaps."""
        return 0 if self.first_seq is None or self.last_seq is None else self.last_seq - self.first_seq + 1

    def to_json(self) -> dict[str, Any]:
        """Return the record as it stands in `run.json`."""
        return {name: getattr(self, name) for name in _DEVICE_FIELDS} | {"emitted": self.emitted}

    def check(self) -> None:
        """Raise `ValueError` where the account contradicts itself."""
        if (self.first_seq is None) != (self.last_seq is None):
            raise ValueError("has only one of first_seq and last_seq")
        if self.emitted < 0:
            raise ValueError(f"first_seq {self.first_seq} comes after last_seq {self.last_seq}")
        end = -1 if self.first_seq is None else self.first_seq - 1
        for first, last in sorted(self.dropped + self.unsent + self.refused_ranges):
            if not end < first <= last or self.last_seq is None or last > self.last_seq:
                raise ValueError(
                    f"dropped, unsent or refused range {first}..{last} overlaps another or was never emitted"
                )
            end = last


BY_REQUEST = "asked for"
"""Why an emulator has left its place where whoever controls the run, or a step, has told it to."""


@dataclass(slots=True, kw_only=True)
class StandbySpan:
    """Tells when an emulated device had left its place to a real sensor. Times are the devices', ms since 1970 UTC."""

    device_id: str
    kind: str
    from_ms: Moment
    """All readings of before then were emitted, and none since."""
    to_ms: Moment | None = None
    """When the emulator was back; None where it was not when the run, or its checkpoint, ended."""
    boot: Count | None = None
    """In which it came back."""
    heard_ms: Moment | None = None
    """When the real sensor was heard of last."""
    why: str
    """How the real sensor had shown itself, or `BY_REQUEST`."""
    withheld: dict[str, list[SeqRange]] = field(default_factory=dict)
    """Boot -> messages that the emulator would have sent meanwhile: they were never emitted."""

    def add_withheld(self, boot: int, seq: int) -> None:
        """Count a message that was not emitted."""
        ranges = self.withheld.setdefault(str(boot), [])
        if ranges and ranges[-1][1] + 1 == seq:
            ranges[-1] = ranges[-1][0], seq
        else:
            ranges.append((seq, seq))

    @property
    def withheld_count(self) -> int:
        """Return how many messages were not emitted."""
        return sum(map(count_seqs, self.withheld.values()))


@dataclass(slots=True, kw_only=True)
class SideMessage:
    """Tells a message without an id that was on a device's topics and is none of those that it has numbered.

    It may be in a sink, and is not expected there; without this, it might pass for one that is.
    """

    device_id: str
    at_ms: Moment
    """By the devices' clock."""
    topic: str
    payload: str
    """Each byte as the character of this number (Latin-1)."""
    is_answer: bool
    """Whether the device was asked for it; otherwise a real sensor in its place has said it."""


@dataclass(slots=True, kw_only=True)
class GatewayRecord:
    """Tells which devices had the connection of a gateway, and how often it was made again."""

    gateway_id: str
    site: str
    reconnects: Count = 0
    devices: list[str] = field(default_factory=list)
    has_parts: bool = False
    """Whether it is no gateway but a device, and these are its parts."""


@dataclass(slots=True, kw_only=True)
class UnaccountedPart:
    """Names a part of the fleet whose end nobody knows, such as that of a worker that was killed.

    What the last checkpoint knew of its devices may be among the devices of the record; more may have been sent.
    """

    name: str
    """As in "worker 1"."""
    shard: ShardNumber
    reason: str
    """Why, in a sentence."""
    device_ids: list[str] = field(default_factory=list)
    """All of its devices."""


@dataclass(slots=True, kw_only=True)
class IntervalChange:
    """Tells that devices measured at another interval from a moment on: the scenario had changed."""

    at_ms: Moment
    """By the devices' clock."""
    interval_ms: Count
    device_ids: list[str]


@dataclass(slots=True, kw_only=True)
class ReloadRecord:
    """Tells that the scenario changed as the run went on; the counts are of all shards."""

    at_ms: Moment
    """Wall time, ms since 1970 UTC."""
    scenario_sha256: str
    """Of the scenario as of then."""
    devices: Count
    """How many it has."""
    added: Count = 0
    removed: Count = 0
    replaced: Count = 0
    """Left, and came anew with other settings."""
    intervals: Count = 0
    """Stayed, with another interval."""


@dataclass(slots=True, kw_only=True)
class TimeChange:
    """Tells that the devices' time passed at another scale as of a moment of it."""

    at_ms: Moment
    """The devices' time, ms since 1970 UTC."""
    time_scale: TimeScale


@dataclass(slots=True, kw_only=True)
class ActionRecord:
    """Tells what somebody did to the run as it went on, over its control interface."""

    number: Count
    """From 1, in the order in which it was asked for, after those of the scenario's steps; a fault that it began has it
    in its name."""
    at_ms: Moment
    """Wall time, ms since 1970 UTC."""
    device_at_ms: Moment | None = None
    """The devices' time from which it held; None where devices have no part in it."""
    action: str
    """Such as `scale`; `arguments` are those of the interface."""
    arguments: dict[str, Any] = field(default_factory=dict)
    devices: Count = 0
    """How many it has changed."""
    outcome: Literal["done", "partly", "failed"] = "done"
    """partly: some of what was asked for was not done, `said` tells which."""
    said: str = ""
    """What came of it, in a sentence."""
    messages: dict[str, list[str]] = field(default_factory=dict)
    """Sink of the bridge -> ids of the dead letters that were replayed or dropped there, the first thousand."""
    ended_ms: Moment | None = None
    """Wall time at which an outage that it began was over; None where it is not, or it began none."""


@dataclass(slots=True, kw_only=True)
class PoweredPart:
    """Says when the devices of a part of the scenario were powered on: what they say follows from it."""

    shard: ShardNumber
    power_on_ms: Moment
    begun_ms: Moment
    """When its run began; both by the devices' clock."""
    spoken: dict[str, Any] | None = None
    """The scenario that it is of, where that is not the record's: these devices came as the run went on."""
    scenario_sha256: str = ""
    """Of that scenario."""
    device_ids: list[str] | None = None
    """Which devices of the scenario it has, where it is not all of the shard."""
    boots: dict[str, Count] = field(default_factory=dict)
    """The first boots of devices that were there before, in another way."""
    intervals: list[IntervalChange] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class RunRecord:
    """Tells one run of one fleet process. Times are milliseconds since 1970 UTC."""

    format: int = FORMAT
    state: Literal["running", "complete"] = "complete"
    """running: a checkpoint, which stays where the process was killed; what came after `stopped_ms` is not in it."""
    run_id: str
    """The same in all parts of a run that were told it; otherwise of this part alone."""
    shards: list[ShardNumber] = field(default_factory=lambda: [(0, 1)])
    """Which parts of the scenario's devices this record tells of."""
    scenario: str
    scenario_sha256: str = ""
    """Of the scenario as it was run, without its broker: equal where the same devices say the same. Empty: unknown."""
    scenario_devices: Count | None = None
    """How many devices the whole scenario has, of which a shard has a part. None: unknown."""
    spoken: dict[str, Any] | None = None
    """The scenario itself, without what is of the host, where devices speak a dialect or a format of the user's own:
    what has no id in it is compared with what they said, which is computed again. None where all speak the contract."""
    powered: list[PoweredPart] = field(default_factory=list)
    """Every part of it, where `spoken` is there."""
    fixed_boots: bool = True
    """Whether the boots come from `--from` or the scenario's `start`: then another run sends messages of the same ids,
    and only the time of arrival tells the two apart. Otherwise the second of the start is in every id."""
    seed: int
    broker: str
    """Without its password; several are parted by a comma."""
    connected_to: dict[str, Count] = field(default_factory=dict)
    """Broker -> devices that were connected to it as the run ended."""
    started_ms: Moment
    stopped_ms: Moment
    sim_started_ms: Moment
    """The devices' time when the run started."""
    time_scale: TimeScale = 1.0
    """When the run started."""
    time_changes: list[TimeChange] = field(default_factory=list)
    """When it changed, in order; all that is placed in time goes by `device_time`."""
    limits: dict[str, Any] = field(default_factory=dict)
    """What bounded the run, such as its duration."""
    lag_ms: dict[str, Any] = field(default_factory=dict)
    """Handed to the connection - due: count, percentiles, and `buckets` of (upper edge, count)."""
    puback_ms: dict[str, Any] = field(default_factory=dict)
    """Acknowledged by the broker - published, of a sample."""
    connected_after_s: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """From the first attempt to connect until every device had been connected once; None where one never was."""
    limited_by: str = ""
    """broker, generator, network, takeover or none."""
    verdict: str = ""
    """What is missing, and what the limit of the run was, in sentences with their evidence."""
    problems: dict[str, str] = field(default_factory=dict)
    """What is missing and fails the run, the gravest first: a name for machines, and a sentence."""
    notes: dict[str, str] = field(default_factory=dict)
    """What happened and fails nothing, in the same form."""
    incidents: dict[str, Any] = field(default_factory=dict)
    """What the broker refused or ended, and what devices did not heed, by reason."""
    faults: dict[str, Count] = field(default_factory=dict)
    """Faults that show in the messages, by type; the label file beside the record has each."""
    failures: list[str] = field(default_factory=list)
    """What ended before its time, such as a worker; its devices are missing here."""
    unaccounted: list[UnaccountedPart] = field(default_factory=list)
    """The parts of the fleet whose messages are not, or not all, in this record."""
    standby: list[StandbySpan] = field(default_factory=list)
    """When real sensors were in the places of emulated devices."""
    side_messages: list[SideMessage] = field(default_factory=list)
    """What was said without ids by real sensors in the places of devices, and in answer to commands."""
    side_messages_left_out: dict[str, Count] = field(default_factory=dict)
    """Device -> how many more of these there were than are kept here, or may have been while nobody listened."""
    reloads: list[ReloadRecord] = field(default_factory=list)
    """How the scenario changed as the run went on; what stands above is of its start."""
    actions: list[ActionRecord] = field(default_factory=list)
    """What was done over the control interface, in this order."""
    gateways: list[GatewayRecord] = field(default_factory=list)
    """Those that had the connections of some of the devices."""
    devices: list[DeviceRecord] = field(default_factory=list)

    @property
    def device_count(self) -> int:
        """Return how many devices there were, each in one boot or in several."""
        return len({device.device_id for device in self.devices})

    @property
    def totals(self) -> dict[str, int]:
        """Return the counts of all devices together."""
        return count_totals(self.devices)

    @property
    def refused(self) -> dict[str, dict[str, int]]:
        """Return how many messages of each kind of device the broker refused, by reason."""
        counts: dict[str, dict[str, int]] = {}
        for device in self.devices:
            for reason, ranges in device.refused.items():
                of_kind = counts.setdefault(device.kind, {})
                of_kind[reason] = of_kind.get(reason, 0) + count_seqs(ranges)
        return counts

    def save(self, folder: Path) -> Path:
        """Write `run.json` into `folder`, which is made where it is missing; a reader never sees half a file."""
        record = encode_head(self) | {
            "totals": self.totals,
            "refused": self.refused,
            "devices": [device.to_json() for device in self.devices],
        }
        return write_record(folder, orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))

    @classmethod
    def join(cls, records: "Sequence[RunRecord]") -> "RunRecord":
        """Return the records of the shards of one run as one, without what is measured of a process.

        Raises `ConfigError` where they are not of one run, or two are of the same shard.
        """
        first = records[0]
        if len(records) == 1:
            return first
        for number, other in enumerate(records[1:], 1):
            first._require_same_run(other)
            for earlier in records[:number]:
                earlier._require_other_part(other)
        earliest = min(records, key=lambda record: record.started_ms)
        joined = replace(
            earliest,
            state="running" if any(record.state == "running" for record in records) else "complete",
            run_id=", ".join(dict.fromkeys(name for record in records for name in record.run_id.split(", "))),
            shards=sorted(shard for record in records for shard in record.shards),
            powered=[part for record in records for part in record.powered],
            fixed_boots=any(record.fixed_boots for record in records),
            broker=", ".join(dict.fromkeys(url for record in records for url in record.broker.split(", "))),
            connected_to=dict(sum((Counter(record.connected_to) for record in records), Counter())),
            stopped_ms=max(record.stopped_ms for record in records),
            lag_ms={},
            puback_ms={},
            connected_after_s=None,
            limited_by="",
            verdict="",
            faults=dict(sum((Counter(record.faults) for record in records), Counter())),
            failures=[failure for record in records for failure in record.failures],
            unaccounted=[part for record in records for part in record.unaccounted],
            # All shards of a run are told the same; one that has died was perhaps not told the last.
            reloads=max((record.reloads for record in records), key=len),
            time_changes=max((record.time_changes for record in records), key=len),
            actions=sorted((one for record in records for one in record.actions), key=lambda one: one.at_ms),
            gateways=[one for record in records for one in record.gateways],
            standby=sorted(
                (span for record in records for span in record.standby), key=lambda one: (one.device_id, one.from_ms)
            ),
            side_messages=[one for record in records for one in record.side_messages],
            side_messages_left_out=dict(sum((Counter(record.side_messages_left_out) for record in records), Counter())),
            devices=sorted(
                (device for record in records for device in record._devices_as_of(earliest)),
                key=lambda device: (device.kind, device.device_id, device.boot),
            ),
        )
        try:
            joined.check()
        except ValueError as error:
            raise ConfigError(f"the records are not of different shards: {error}") from None
        return joined

    def _require_same_run(self, other: "RunRecord") -> None:
        """Raise `ConfigError` where the two cannot have been parts of one run."""
        names = ["seed", "time_scale", "scenario_devices"]
        # Hosts may keep the same file in different places.
        names.append("scenario_sha256" if self.scenario_sha256 and other.scenario_sha256 else "scenario")
        for name in names:
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours != theirs:
                raise ConfigError(f"the records are not of one run: {name} is {ours!r} and {theirs!r}")
        changes = min(len(self.time_changes), len(other.time_changes))
        # One that died may not have been told of the last.
        if self.time_changes[:changes] != other.time_changes[:changes]:
            raise ConfigError(
                "the records are not of one run: the time scale was changed to another, or at another moment; change it"
                " by a step of the scenario, at one time for all shards"
            )
        if self.run_id != other.run_id and max(self.started_ms, other.started_ms) > min(
            self.stopped_ms, other.stopped_ms
        ):
            earlier, later = sorted((self, other), key=lambda record: record.started_ms)
            raise ConfigError(
                f"the records are not of one run: {earlier.run_id} had ended at {iso_ms(earlier.stopped_ms)}, and "
                f"{later.run_id} began at {iso_ms(later.started_ms)}; give the records of the shards that ran together"
            )
        if self.sim_started_ms != other.sim_started_ms and not (self._began_now and other._began_now):
            raise ConfigError(
                "the records are not of one run: their devices' time began at "
                f"{iso_ms(self.sim_started_ms)} and at {iso_ms(other.sim_started_ms)}; give all shards the same --from"
            )

    def _require_other_part(self, other: "RunRecord") -> None:
        """Raise `ConfigError` where a device may be in both."""
        for index, count in self.shards:
            for second, of in other.shards:
                if count != of:
                    raise ConfigError(
                        f"the records are not of one run: one is of shard {index}/{count}, another of {second}/{of}"
                    )
                if index == second:
                    raise ConfigError(
                        f"the records are not of different shards: two are of shard {index}/{count}; give each once"
                    )

    def missing_shards(self) -> list[ShardNumber]:
        """Return the parts of the scenario that neither this record nor its unaccounted parts tell of."""
        count, known = max((of for _, of in self.shards), default=1), {*self.shards}
        return [(index, count) for index in range(count) if (index, count) not in known]

    def devices_in(self, shard: ShardNumber) -> int | None:
        """Return how many of the scenario's devices are in this shard; None where the record does not say."""
        index, count = shard
        return None if self.scenario_devices is None else len(range(index, self.scenario_devices, count))

    @property
    def device_time(self) -> DeviceTime:
        """Return how the devices' time passed after the run had started."""
        changes = ((change.at_ms, change.time_scale) for change in self.time_changes)
        return DeviceTime(self.sim_started_ms, self.time_scale, changes)

    @property
    def _began_now(self) -> bool:
        """Return whether the devices' time began with that of the wall, and not with `--from`."""
        return self.sim_started_ms == self.started_ms

    @property
    def _zero_ms(self) -> float:
        """Return the wall time at which the devices' time was 0."""
        return self.started_ms - self.sim_started_ms / self.time_scale

    def _devices_as_of(self, other: "RunRecord") -> Iterable[DeviceRecord]:
        """Return the devices as they stand in a record of the other's times."""
        # A shard that is started by itself begins at its own moment.
        offset_ms = round(self._zero_ms - other._zero_ms)
        if not offset_ms:
            return self.devices
        return [replace(device, due_offset_ms=device.due_offset_ms + offset_ms) for device in self.devices]

    @classmethod
    def load(cls, folder: Path) -> "RunRecord":
        """Read the record of the run in `folder`; raises `ConfigError` that names the file and what is wrong."""
        path = folder / FILE_NAME
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(
                f"{folder}: there is no {FILE_NAME}; give the folder that 'edgefleet run' wrote its record to"
            ) from None
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
        try:
            content = orjson.loads(data)
            # Of a newer one, other keys may be missing or unknown.
            _require_known(path, content.get("format") if isinstance(content, dict) else None)
            record = parse_record(content)
            _require_known(path, record.format)
        except orjson.JSONDecodeError as error:
            raise ConfigError(f"{path}: is not JSON, perhaps cut short: {error}") from None
        except ValidationError as error:
            raise ConfigError(f"{path}: {describe_error(error)}") from None
        except ValueError as error:
            raise ConfigError(f"{path}: {error}") from None
        return record

    def check(self) -> None:
        """Raise `ValueError` where the record contradicts itself."""
        parts = *(part.shard for part in self.unaccounted), *(part.shard for part in self.powered)
        for index, count in (*self.shards, *parts):
            if not index < count <= MOST_SHARDS:
                raise ValueError(f"there is no shard {index}/{count}")
        try:
            _ = self.device_time
        except ValueError as error:
            raise ValueError(f"time_changes: {error}") from None
        for position, part in enumerate(self.powered):
            if part.begun_ms < self.sim_started_ms:
                raise ValueError(f"powered[{position}].begun_ms is before sim_started_ms")
        for position, span in enumerate(self.standby):
            for boot, ranges in span.withheld.items():
                if not boot.isdecimal() or any(first > last for first, last in ranges):
                    raise ValueError(
                        f"standby[{position}].withheld of {span.device_id}: {boot}: {ranges[:1]} is no range"
                    )
        boots: set[tuple[str, int]] = set()
        for position, device in enumerate(self.devices):
            where = f"devices[{position}] ({device.device_id}, boot {device.boot})"
            if (device.device_id, device.boot) in boots:
                raise ValueError(f"{where}: is there twice")
            boots.add((device.device_id, device.boot))
            try:
                device.check()
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from None


def _require_known(path: Path, found: object) -> None:
    if isinstance(found, int) and found > FORMAT:
        raise ConfigError(f"{path}: was written by a newer edgefleet (format {found}); update this one")


def describe_actions(actions: Sequence[ActionRecord]) -> str:
    """Return in a sentence what was done to a run as it went on: each of a few, or how many of each sort."""
    plural = "" if len(actions) == 1 else "s"
    if len(actions) <= ACTIONS_TOLD:
        told = "; ".join(one.said if one.outcome == "done" else f"{one.said} ({one.outcome})" for one in actions)
    else:
        counts = Counter(one.action if one.outcome == "done" else f"{one.action} {one.outcome}" for one in actions)
        told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return f"{len(actions):,} action{plural} while it ran: {told}"


def count_totals(devices: Sequence[DeviceRecord]) -> dict[str, int]:
    """Return the counts of these devices together."""
    return {
        "emitted": sum(device.emitted for device in devices),
        "acknowledged": sum(device.acknowledged for device in devices),
        "sent_qos0": sum(device.sent_qos0 for device in devices),
        "refused": sum(count_seqs(device.refused_ranges) for device in devices),
        "dropped": sum(count_seqs(device.dropped) for device in devices),
        "unsent": sum(count_seqs(device.unsent) for device in devices),
    }


def encode_head(record: RunRecord) -> dict[str, Any]:
    """Return what stands in `run.json` before the devices, and before what is counted of them."""
    head = {name: getattr(record, name) for name in _RUN_FIELDS}
    for name in ("unaccounted", "standby", "reloads", "actions", "gateways", "time_changes"):
        head[name] = [asdict(one) for one in head[name]]
    return head


def parse_record(content: object) -> RunRecord:
    """Return the record that a file holds. Raises `ValueError`, of which pydantic's is one, where it is none."""
    record = _ADAPTER.validate_python(content)
    record.check()
    return record


def write_record(folder: Path, content: bytes) -> Path:
    """Write `run.json` into `folder`, which is made where it is missing; a reader never sees half a file.

    Raises `ConfigError` where it cannot be written; then what was there before still is.
    """
    path = folder / FILE_NAME
    try:
        write_output(path, content)
    except OSError as error:
        raise ConfigError(f"{path}: the run record cannot be written: {error.strerror}") from None
    return path


_DEVICE_FIELDS = tuple(item.name for item in fields(DeviceRecord))
_RUN_FIELDS = tuple(item.name for item in fields(RunRecord) if item.name != "devices")
_ADAPTER = TypeAdapter(RunRecord)
