"""Carries out what is asked of a run, on the run's own event loop, and keeps the account of it for the run record."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

from devices.faults.base import Fault
from devices.firmware.commands import InvalidCommand, read_arguments
from devices.fleet.command_handler import arguments_of
from devices.fleet.run_record import written_scenario
from devices.fleet.steering import (
    NO_STANDBY,
    ChangeTimeScale,
    CommandDevices,
    DeviceSelection,
    EndFaults,
    FindDevices,
    FleetAnswer,
    InjectFault,
    LookAtDevice,
    PauseReadings,
    RecallDevices,
    ResumeReadings,
    WithdrawDevices,
)
from devices.scenario.actions import (
    AnyAction,
    BreakBroker,
    ChangeSetting,
    DrainBridge,
    DropLetters,
    EndFault,
    MuteDevices,
    PauseBridge,
    PauseDevices,
    ReplayLetters,
    ResumeBridge,
    ResumeDevices,
    ReturnDevices,
    ScaleGroup,
    SendCommand,
    StandBy,
    StartFault,
    StopRun,
    TakeOver,
    TargetedAction,
    UnmuteDevices,
    action_arguments,
    read_fault,
)
from devices.scenario.changes import ScenarioChange
from devices.scenario.device_parts import MAX_PARTS
from devices.scenario.devices import Shard
from devices.scenario.scenario import Scenario
from edgefleet.control.bridge_actions import BridgeAction, perform_at_bridge, read_letters
from edgefleet.control.bridge_client import BridgeClient
from edgefleet.control.bridge_status import BridgeMonitor
from edgefleet.control.changes import (
    at_interval,
    describe_groups,
    group_names,
    group_number,
    group_numbers,
    in_standby,
    scaled,
)
from edgefleet.control.events import encode_event
from edgefleet.control.flow_problems import find_flow_problems
from edgefleet.control.outage import BrokerOutages
from edgefleet.control.run_map import RunMap
from edgefleet.control.run_time import RunTime
from edgefleet.control.status import FleetMoment
from edgefleet.control.store_status import StoreMonitor
from edgefleet.doctor import Machine, Needs, evaluate
from edgefleet.launch.requests import Shards
from edgefleet.report.live import ReadSnapshots
from edgefleet.report.series_writer import SeriesWriter
from edgewire import logs
from edgewire.clock import SystemClock
from edgewire.config import duration_text
from edgewire.errors import ConfigError, EdgefleetError, ServiceUnavailable
from edgewire.run_record import ActionRecord

MOST_ACTIONS = 1000
"""In one run: each may make the fleet's timeline more dear, and all of them are in its record."""
MOST_MESSAGES = 10_000
"""That are named in the account of one run, of dead letters."""
STATE_S = 1.0
MUTE = "control/mute"
KEPT_EVENTS = 200

log = logs.get("control")


class ActionRefused(EdgefleetError):
    """Says that an action cannot be carried out as the run is now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """Says which run it is that is controlled."""

    run_id: str
    name: str
    folder: str
    shard: Shard
    workers: int
    started_ms: Callable[[], int | None]
    """Wall time of the start; None until that is known."""
    from_ms: int | None
    """The devices' time of the start; None where it is that of the wall."""
    is_elsewhere: bool
    """Whether the processes are on other machines than this one."""
    bridge: str | None = field(default=None, repr=False)
    """URL of the admin interface of the run's bridge, where that is known."""
    ingest: str | None = field(default=None, repr=False)
    """URL of the HTTP ingest behind the bridge, where that is known."""
    bridge_token: str | None = field(default=None, repr=False)
    """What it asks for."""


@dataclass(frozen=True, slots=True)
class ActionOutcome:
    """Says what came of an action."""

    record: ActionRecord
    rows: Sequence[Mapping[str, Any]] = ()
    """What single devices have told."""


class RunController:
    """Holds what is known of a run that is controlled. All methods are for the run's event loop."""

    def __init__(
        self,
        facts: RunFacts,
        scenario: Scenario,
        shards: Shards,
        snapshots: ReadSnapshots,
        stop: asyncio.Event,
        at_once: asyncio.Event,
        outages: BrokerOutages | None = None,
        *,
        steps: int = 0,
    ) -> None:
        """Number actions after so many `steps` of the scenario, which have their own numbers."""
        self.facts = facts
        self.first_scenario = scenario
        """As it was when the run began."""
        self.scenario = scenario
        """As it is now."""
        self.actions: list[ActionRecord] = []
        self.scenarios: list[Scenario] = []
        """All with which the run went on."""
        self.publish: Callable[[bytes, bool], None] = lambda _event, _is_state: None
        """Is told of every event, encoded, and whether it is a state."""
        self.series: SeriesWriter | None = None
        """Keeps all of them."""
        self._shards = shards
        self._snapshots = snapshots
        self._stop, self._at_once = stop, at_once
        self._outages = outages
        self._bridge_client = None if facts.bridge is None else BridgeClient(facts.bridge, facts.bridge_token)
        self._clock = SystemClock()
        self.time = RunTime(scenario.time_scale, facts.started_ms, facts.from_ms, self._clock)
        """The devices'."""
        self._turn = asyncio.Lock()
        self._numbers = steps
        self._events = 0
        self._words: deque[dict[str, Any]] = deque(maxlen=KEPT_EVENTS)
        self._moment = self._before = FleetMoment.of(time.monotonic(), snapshots())
        self._faults: set[int] = set()
        self._paused: list[str] = []
        self._muted: list[str] = []
        self.bridge = None if facts.bridge is None else BridgeMonitor(facts.bridge)
        self.store = None if facts.ingest is None else StoreMonitor(facts.ingest)
        self.map = RunMap(shards, lambda: self.scenario, self.time.now_ms)
        self.status: dict[str, Any] = self._status(self._moment)
        """As it was a moment ago."""

    # -- how the run is

    async def watch(self) -> None:
        """Tell how the run is, what lies behind it, and what happens, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self.bridge is not None:
                tasks.create_task(self.bridge.watch(), name="bridge watch")
            if self.store is not None:
                tasks.create_task(self.store.watch(), name="store watch")
            await self._watch_fleet()

    async def _watch_fleet(self) -> None:
        while True:
            await asyncio.sleep(STATE_S)
            before = self._before = self._moment
            self._moment = FleetMoment.of(time.monotonic(), self._snapshots())
            for text in self._moment.news(before):
                self.tell(text)
            self._tell_status(before)

    def _tell_status(self, before: FleetMoment) -> None:
        self.status = self._status(before)
        self.publish(encode_event("state", self.status), True)
        if self.series is not None:
            self.series.add_state(self.status)

    def tell(self, text: str, **details: Any) -> None:
        """Say that something has happened."""
        self._events += 1
        event = {"number": self._events, "at_ms": self._clock.now_ms(), "text": text, **details}
        self._words.append(event)
        self.publish(encode_event("event", event, self._events), False)
        if self.series is not None:
            self.series.add_event(event)

    def _status(self, before: FleetMoment) -> dict[str, Any]:
        facts, now_ms = self.facts, self._clock.now_ms()
        is_away = self._outages is not None and self._outages.is_under_way
        status = {
            "run_id": facts.run_id,
            "scenario": facts.name,
            "record": facts.folder,
            "brokers": [str(url) for url in self.scenario.broker_urls],
            "broker_is_embedded": self._outages is not None,
            "broker_is_away": is_away,
            "is_stopping": self._stop.is_set(),
            "read_only": None,
            "at_ms": now_ms,
            "started_ms": facts.started_ms(),
            "device_time_ms": self.time.now_ms(),
            "time_scale": self.time.scale,
            "paused": self._paused[-20:],
            "muted": self._muted[-20:],
            "faults": sorted(self._faults)[-100:],
            "actions": len(self.actions),
            "sites": len(self.scenario.sites),
            **self._moment.numbers(before),
            "bridge": None if self.bridge is None else self.bridge.status.document(),
            "store": None if self.store is None else self.store.status.document(),
        }
        return status | {"flow": [one._asdict() for one in find_flow_problems(status)]}

    def session(self) -> dict[str, Any]:
        """Return what is needed to do the same again: the scenario of the start, and when it was."""
        return {
            "scenario": written_scenario(self.first_scenario),
            "started_ms": self.facts.started_ms(),
            "begun_ms": self.time.begun_ms,
            "time_scale": self.scenario.time_scale,
            "time_changes": self.time.changes,
        }

    def groups(self) -> list[dict[str, Any]]:
        """Return the groups of devices as they are now."""
        return describe_groups(self.scenario, self.time.last_scale)

    def runs(self) -> list[dict[str, Any]]:
        """Return the runs that are served beside each other: this one."""
        facts = self.facts
        return [{"path": "", "run_id": facts.run_id, "scenario": facts.name, "started_ms": facts.started_ms()}]

    async def history(self) -> bytes:
        """Return how the run was so far, as it stands in its folder. Raises `ActionRefused` where nothing does."""
        if self.series is None:
            raise ActionRefused("the run keeps no time line")
        try:
            return await asyncio.to_thread(self.series.path.read_bytes)
        except OSError as error:
            raise ActionRefused(f"the time line of the run cannot be read: {error.strerror}") from None

    async def find_devices(
        self, text: str, group: str | None, kind: str | None, state: str | None, after: str, limit: int
    ) -> dict[str, Any]:
        """Return a page of the devices that are searched for, in the order of their ids."""
        selection = DeviceSelection(groups=() if group is None else group_numbers(self.scenario, group))
        found = await self._shards.ask(
            FindDevices(selection=selection, text=text, kind=kind, state=state, after=after, limit=limit)
        )
        rows = sorted(found.rows, key=lambda row: str(row["device_id"]))[:limit]
        return {
            "found": found.devices,
            "devices": [self._with_group(row) for row in rows],
            "next": rows[-1]["device_id"] if len(found.rows) >= limit and rows else None,
        }

    async def look_at(self, device_id: str) -> dict[str, Any] | None:
        """Return all that is known of a device; None where there is none of this id."""
        found = await self._shards.ask(LookAtDevice(device_id))
        return self._with_group(found.rows[0]) if found.rows else None

    def _with_group(self, row: dict[str, Any]) -> dict[str, Any]:
        number, names = row["group"], group_names(self.scenario)
        return row | {"group": names[number] if number is not None and number < len(names) else None}

    # -- what is done to it

    async def apply(self, scenario: Scenario) -> ScenarioChange:
        """Let the run go on with another scenario."""
        change = await self._shards.apply(scenario)
        self.scenario = scenario
        self.scenarios.append(scenario)
        return change

    async def perform(
        self, action: AnyAction, number: int | None = None, moment_ms: int | None = None
    ) -> ActionOutcome:
        """Carry out an action, one after the other.

        Of a step of the scenario, `number` is its own, and `moment_ms` the devices' time at which they wait for it.
        Raises `ConfigError` for what cannot be asked for, and `ActionRefused` for what cannot be now: neither is in the
        record. What was begun is, also where it failed.
        """
        async with self._turn:
            if len(self.actions) >= MOST_ACTIONS:
                raise ActionRefused(f"{MOST_ACTIONS:,} actions were carried out in this run: no more in one run")
            if self._stop.is_set() and not isinstance(action, StopRun):
                raise ActionRefused("the run is about to end")
            self._numbers += number is None
            record = ActionRecord(
                number=self._numbers if number is None else number,
                at_ms=self._clock.now_ms(),
                action=action.action,
                arguments=action_arguments(action),
            )
            try:
                outcome = await self._carry_out(action, record, moment_ms)
            except ServiceUnavailable as error:
                # Some of the processes, or the bridge, may have done it.
                self._enter(replace(record, outcome="failed", said=str(error)))
                raise
            except EdgefleetError:
                # Nobody has done anything.
                self._numbers -= number is None
                raise
            if moment_ms is not None:
                # Of devices that are still to come it holds since they are there.
                outcome = replace(outcome, record=replace(outcome.record, device_at_ms=moment_ms))
            self._enter(outcome.record)
            return outcome

    def _enter(self, record: ActionRecord) -> None:
        self.actions.append(record)
        log.info("action", number=record.number, action=record.action, outcome=record.outcome, said=record.said)
        self.tell(record.said, action=record.number)

    async def _carry_out(self, action: AnyAction, record: ActionRecord, moment_ms: int | None) -> ActionOutcome:
        match action:
            case ScaleGroup():
                number = group_numbers(self.scenario, action.group)[0]
                before = self.scenario.devices[number].size
                changed = scaled(self.scenario, number, action.count)
                if action.count > before:
                    self._check_room(changed)
                change = await self.apply(changed)
                said = f"{action.group} scaled from {before:,} to {action.count:,} devices"
                concerned = len(change.added) + len(change.removed)
                return _done(record, FleetAnswer(devices=concerned, at_ms=change.at_ms), said)
            case ChangeSetting():
                return await self._change_setting(action, record, moment_ms)
            case StartFault():
                return await self._begin_fault(action, record, action.fault)
            case EndFault():
                return await self._end_fault(action, record)
            case SendCommand():
                selection = await self._selection(action, record)
                for kind in await self._kinds(selection):
                    read = read_arguments("", action.command, action.arguments, kind, self.time.now_ms(), arguments_of)
                    if isinstance(read, InvalidCommand):
                        raise ConfigError(f"{action.command}: {read.error}")
                answer = await self._shards.ask(CommandDevices(selection, action.command, action.arguments))
                if not answer.devices and answer.refused:
                    raise ActionRefused(f"{action.command}: {'; '.join(answer.refused)}")
                return _done(record, answer, f"{action.command} carried out by {_count(answer)}")
            case PauseDevices():
                answer = await self._shards.ask(PauseReadings(await self._selection(action, record)))
                self._paused.append(action.target_text)
                return _done(record, answer, f"{_count(answer)} paused: {action.target_text}")
            case ResumeDevices():
                answer = await self._shards.ask(ResumeReadings(await self._selection(action, record)))
                self._paused = _left_of(self._paused, action)
                return _done(record, answer, f"{_count(answer)} resumed: {action.target_text}")
            case MuteDevices():
                answer = await self._inject(action, record, {"type": "delay"}, action.duration, MUTE)
                self._muted.append(action.target_text)
                return _done(record, answer, f"{_count(answer)} muted: {action.target_text}")
            case UnmuteDevices():
                answer = await self._shards.ask(EndFaults(await self._selection(action, record), MUTE))
                self._muted = _left_of(self._muted, action)
                return _done(record, answer, f"{_count(answer)} unmuted: {action.target_text}")
            case StandBy():
                answer = await self._shards.ask(WithdrawDevices(await self._selection(action, record)))
                if not answer.devices:
                    raise ActionRefused(f"standby: {action.target_text}: {NO_STANDBY}")
                if not action.devices:
                    # Nobody has named them.
                    del answer.refused[NO_STANDBY]
                return _done(record, answer, f"{_count(answer)} left to real sensors: {action.target_text}")
            case ReturnDevices():
                answer = await self._shards.ask(RecallDevices(await self._selection(action, record)))
                return _done(record, answer, f"{_count(answer)} returned: {action.target_text}")
            case TakeOver():
                return await self._begin_fault(action, record, {"type": "takeover"})
            case BreakBroker():
                return await self._break_broker(action, record)
            case PauseBridge() | ResumeBridge() | DrainBridge() | ReplayLetters() | DropLetters():
                return await self._ask_bridge(action, record)
            case StopRun():
                self._stop.set()
                if action.at_once:
                    self._at_once.set()
                how = "at once" if action.at_once else "in order"
                return ActionOutcome(replace(record, said=f"the run ends {how}"))
        assert_never(action)

    async def _change_setting(
        self, action: ChangeSetting, record: ActionRecord, moment_ms: int | None
    ) -> ActionOutcome:
        if action.time_scale is not None:
            return await self._change_time_scale(action.time_scale, record, moment_ms)
        assert action.group is not None
        number = group_number(self.scenario, action.group)
        changed, said = self.scenario, []
        if action.interval is not None or action.rate is not None:
            changed = at_interval(changed, number, action.interval, action.rate, self.time.last_scale)
            said.append(f"measures every {duration_text(changed.devices[number].interval)}")
        if action.standby is not None:
            changed = in_standby(changed, number, action.standby)
            said.append("stands by for real sensors" if action.standby else "stands by no longer")
        change = await self.apply(changed)
        answer = FleetAnswer(devices=len(change.intervals) + len(change.replaced), at_ms=change.at_ms)
        return _done(record, answer, f"{action.group} {' and '.join(said)}")

    async def _change_time_scale(self, scale: float, record: ActionRecord, moment_ms: int | None) -> ActionOutcome:
        if self.scenario.timestamps == "real":
            raise ActionRefused("timestamps: real: the devices' time is the wall's; set the rates of groups instead")
        if scale > self.time.last_scale:
            self._check_room(self.scenario, scale)
        try:
            # A process that does not answer does it all the same, if it still lives.
            moment_ms = self.time.change_scale(scale, moment_ms)
        except ValueError as error:
            raise ActionRefused(str(error)) from None
        answer = await self._shards.ask(ChangeTimeScale(moment_ms, scale))
        return _done(record, answer, f"the devices' time passes {scale:g} times as fast as the wall's")

    async def _begin_fault(
        self, action: StartFault | TakeOver, record: ActionRecord, fault: Mapping[str, Any]
    ) -> ActionOutcome:
        answer = await self._inject(action, record, fault, action.duration, _fault_name(record.number))
        self._faults.add(record.number)
        lasts = "until it is ended" if action.duration is None else f"for {duration_text(action.duration)}"
        said = f"{fault['type']} at {_count(answer)}, {lasts}: fault {record.number}"
        return _done(record, answer, said)

    async def _end_fault(self, action: EndFault, record: ActionRecord) -> ActionOutcome:
        if action.fault is not None and action.fault not in self._faults:
            known = ", ".join(map(str, sorted(self._faults))) or "none"
            raise ConfigError(f"fault: no action {action.fault} has begun one; there are {known}")
        selection = await self._selection(action, record)
        name = None if action.fault is None else _fault_name(action.fault)
        answer = await self._shards.ask(EndFaults(selection, name))
        if selection.is_of_all:
            self._faults -= self._faults if action.fault is None else {action.fault}
            self._muted = self._muted if action.fault is not None else []
        what = "faults" if action.fault is None else f"fault {action.fault}"
        return _done(record, answer, f"{what} ended at {_count(answer)}: {action.target_text}")

    async def _inject(
        self,
        action: TargetedAction,
        record: ActionRecord,
        fault: Mapping[str, Any],
        duration_ms: int | None,
        name: str,
    ) -> FleetAnswer:
        selection = await self._selection(action, record)
        now_ms = self.time.now_ms()
        faults: dict[str, Fault] = {}
        for kind in await self._kinds(selection):
            faults[kind] = read_fault(fault, kind, duration_ms, now_ms)
        return await self._shards.ask(InjectFault(selection, faults, duration_ms, name))

    async def _selection(self, action: TargetedAction, record: ActionRecord) -> DeviceSelection:
        """Return who is meant; raises `ConfigError` where somebody is named who is not there."""
        groups = () if action.group is None else group_numbers(self.scenario, action.group)
        selection = DeviceSelection(
            groups=groups, device_ids=action.devices, share=action.share, draw=f"control/{record.number}/share"
        )
        if action.devices:
            named = DeviceSelection(device_ids=action.devices)
            found = await self._shards.ask(FindDevices(selection=named, limit=MAX_PARTS * len(action.devices)))
            known = {row[name] for row in found.rows for name in ("device_id", "part_of")}
            missing = set(action.devices) - known
            if missing:
                more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
                raise ConfigError(f"devices: there is no '{min(missing)}'{more}: search with GET /v1/devices?search=…")
        return selection

    async def _kinds(self, selection: DeviceSelection) -> list[str]:
        if selection.device_ids:
            named = FindDevices(selection=selection, limit=MAX_PARTS * len(selection.device_ids))
            return sorted({row["kind"] for row in (await self._shards.ask(named)).rows})
        if selection.groups:
            return sorted({self.scenario.devices[group].kind for group in selection.groups})
        return sorted({group.kind for group in self.scenario.devices})

    async def _ask_bridge(self, action: BridgeAction, record: ActionRecord) -> ActionOutcome:
        found = await perform_at_bridge(self._require_bridge(), action, record)
        room = max(0, MOST_MESSAGES - sum(len(ids) for one in self.actions for ids in one.messages.values()))
        return ActionOutcome(replace(found, messages={sink: ids[:room] for sink, ids in found.messages.items()}))

    async def dead_letters(self, query: Sequence[tuple[str, str]]) -> Any:
        """Return dead letters of the bridge. Raises `ActionRefused`, and as the methods of `BridgeClient`."""
        return await read_letters(self._require_bridge(), query)

    def _require_bridge(self) -> BridgeClient:
        if self._bridge_client is None:
            raise ActionRefused(
                "the run knows of no bridge: begin it with --bridge http://127.0.0.1:9464, its admin port"
            )
        return self._bridge_client

    async def _break_broker(self, action: BreakBroker, record: ActionRecord) -> ActionOutcome:
        outages = self._outages
        if outages is None:
            raise ActionRefused(
                "the broker is not this run's own: begin it with --broker embedded, or stop that one as it was started"
            )
        if outages.is_under_way:
            raise ActionRefused("the broker is away already: wait until it is back")
        back = await outages.begin(action.duration / 1000)
        found = replace(record, said=f"the broker ({outages.name}) is stopped for {duration_text(action.duration)}")
        back.add_done_callback(lambda task: self._on_broker_back(task, found))
        return ActionOutcome(found)

    def _on_broker_back(self, back: "asyncio.Task[None]", record: ActionRecord) -> None:
        if back.cancelled():
            return
        error = back.exception()
        if error is None:
            record.ended_ms = self._clock.now_ms()
        else:
            record.outcome = "failed"
        self.tell("the broker is back" if error is None else f"the broker does not come back: {error}")
        if error is not None:
            log.error("the broker does not come back", reason=str(error))

    async def close(self) -> None:
        """Have the broker back, where it is away, and tell the last of the run."""
        if self._outages is not None:
            await self._outages.end_now()
        # Of so short a time as has passed since the last one there is no rate.
        before, self._moment = self._before, FleetMoment.of(time.monotonic(), self._snapshots())
        self._tell_status(before)

    def _check_room(self, scenario: Scenario, time_scale: float | None = None) -> None:
        """Raise `ActionRefused` where this machine has not what a larger fleet needs, or one whose time is faster."""
        facts, scale = self.facts, self.time.last_scale
        if facts.is_elsewhere:
            return
        needs, now = (
            Needs.of(one.model_copy(update={"time_scale": speed}), shard=facts.shard, workers=facts.workers)
            for one, speed in ((scenario, scale if time_scale is None else time_scale), (self.scenario, scale))
        )
        # What the devices that are there take is no longer free.
        growth = replace(needs, memory_bytes=max(0, needs.memory_bytes - now.memory_bytes))
        failures = [check for check in evaluate(growth, Machine.read(), []) if check.verdict == "failure"]
        if failures:
            said = "; ".join(f"{one.name}: {one.need} needed, {one.have} there" for one in failures)
            raise ActionRefused(f"this machine has not what that needs: {said}")


def _fault_name(number: int) -> str:
    return f"control/fault-{number}"


def _count(answer: FleetAnswer) -> str:
    return f"{answer.devices:,} device{'' if answer.devices == 1 else 's'}"


def _left_of(targets: list[str], action: TargetedAction) -> list[str]:
    """Return what is still paused or muted, as it was said, after the end of it at some devices."""
    if action.group is None and not action.devices and action.share is None:
        return []
    return [one for one in targets if one != action.target_text]


def _done(record: ActionRecord, answer: FleetAnswer, said: str) -> ActionOutcome:
    refused = answer.refused.total()
    if refused:
        said += f"; {refused:,} did not: {', '.join(answer.refused)}"
    found = replace(
        record,
        device_at_ms=answer.at_ms,
        devices=answer.devices,
        outcome="partly" if refused else "done",
        said=said,
    )
    return ActionOutcome(found, answer.rows)
