"""Says what a bridge makes of the messages of a run, by its own configuration: read, routed, left out on purpose, lost.

The same table does it that routes in the bridge. What it leaves out by a rule is not expected in a sink, and counted
under the rule; what would be a dead letter is expected, and so missing; and where the configuration alone does not say
what becomes of a message, that is said too.
"""

from collections import Counter
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from bridge.config import BridgeConfig
from bridge.message.decoders import UndecodableMessage
from bridge.message.foreign import DecodedEvent
from bridge.routing.routed import Dropped, RoutedEvent, Unroutable
from bridge.routing.sampling import Sampler
from bridge.routing.table import RouteTable
from bridge.spool.message import SpooledMessage
from edgefleet.verify.message_index import Indices, MessageIndex
from edgewire.errors import ConfigError
from edgewire.messages import CONTRACT, Channel, Topic
from edgewire.mqtt.filters import filter_matches, is_shared
from edgewire.run_record import DeviceRecord

ROWS = "rows"
"""The name of what another store has: by which sink it came there is not known, so any of them will do."""


class UncertainFate(str):
    """Says why it cannot be told from the configuration whether a message is in a sink."""

    __slots__ = ()


class BridgeRules:
    """Reads and routes as one bridge does for one sink; stands where the decoder of a group does."""

    learns = True
    """Whether devices describe themselves to it."""

    def __init__(self, config: BridgeConfig, sink: str) -> None:
        """Raises `ConfigError` for a sink that the bridge does not have, or a configuration that contradicts itself."""
        if sink != ROWS and sink not in config.sinks:
            what = "--ingest" if sink == "http" else f"--{sink}"
            said = f"this bridge has no {sink}, of which arrivals are to be read: leave {what} out"
            raise ConfigError(f"--bridge: {said}")
        self._sink = None if sink == ROWS else sink
        self._table = RouteTable(config.route_rows, subscriptions=config.formats)
        self._filters = [one.split("/", 2)[2] if is_shared(one) else one for one in config.filters]
        self._rows = config.routes
        self._is_subscribed: dict[str, bool] = {}

    def of(self, _address: int) -> "BridgeRules":
        """Return what reads a message of a reading: the topic decides."""
        return self

    def decode_event(self, message: SpooledMessage) -> DecodedEvent | str:
        """Return what a message says in the sink, or the rule by which it is not there.

        Raises `UndecodableMessage` where it is a dead letter.
        """
        topic = message.topic
        subscribed = self._is_subscribed.get(topic)
        if subscribed is None:
            subscribed = self._is_subscribed[topic] = any(filter_matches(one, topic) for one in self._filters)
        if not subscribed:
            return UncertainFate("are on topics to which the bridge does not subscribe")
        found = self._table.resolve(message)
        if isinstance(found, Unroutable):
            if self._sink is None or found.concerns(self._sink):
                raise UndecodableMessage(found.reason)
            return f"the route does not lead to {self._sink}"
        if isinstance(found, Dropped):
            return _sampled(found.rule) if found.rule.endswith("by message") else found.rule
        return self._of_route(found)

    def fate_of_device(self, device: DeviceRecord) -> tuple[str, NDArray[np.bool_] | None]:
        """Return why messages of a device that speaks the contract are not in the sink, empty where all are.

        Beside it which of them are there all the same, by their seqs; None for none of them.
        """
        contract = CONTRACT.get(device.kind)
        channels = {message.channel for message in contract.messages} if contract else {Channel.TELEMETRY}
        topics = [str(Topic(device.site, device.kind, device.device_id, channel)) for channel in sorted(channels)]
        fates = {self._fate_of_topic(topic, device) for topic in topics}
        if len(fates) > 1:
            return UncertainFate("go by rules that differ with their values or channels, which are not known"), None
        fate = fates.pop()
        if not isinstance(fate, Sampler):
            return fate, None
        first, ids = device.first_seq or 0, f"{device.device_id}:{device.boot}:"
        seqs = range(first, first + device.emitted)
        kept = np.fromiter((fate.keep(device.device_id, f"{ids}{seq}") for seq in seqs), np.bool_, len(seqs))
        return f"sample {fate}", kept

    def _fate_of_topic(self, topic: str, device: DeviceRecord) -> str | Sampler:
        if not any(filter_matches(one, topic) for one in self._filters):
            return UncertainFate("are on topics to which the bridge does not subscribe")
        fates: list[str | Sampler] = []
        for row in self._rows:
            if not filter_matches(row.topic, topic):
                continue
            if row.drop:
                fates.append(f"route '{row.topic}': drop")
            elif self._sink is not None and self._sink not in row.targets:
                fates.append(f"route '{row.topic}' does not lead to {self._sink}")
            elif row.sample is None or (row.sample.by == "device" and row.sample.keep(device.device_id, "")):
                fates.append("")
            else:
                fates.append(f"sample {row.sample}" if row.sample.by == "device" else row.sample)
            if not row.match:
                break
        if len(set(fates)) > 1:
            return UncertainFate("go by routes that ask for values, which are not known")
        # What no route takes is a dead letter, and so missing.
        return fates[0] if fates else ""

    def _of_route(self, event: RoutedEvent) -> DecodedEvent | str:
        route = event.route
        if self._sink is not None and self._sink not in route.targets:
            return f"route '{route.filter}' does not lead to {self._sink}"
        if event.is_raw:
            return UncertainFate(f"of route '{route.filter}' are forwarded as bytes that nobody looks into")
        targets = list(route.targets.values()) if self._sink is None else [route.targets[self._sink]]
        if any(getattr(target, "body", None) is not None for target in targets):
            return UncertainFate(f"of route '{route.filter}' have a body of their own there")
        if route.sampler is not None and route.sampler.by == "message" and event.topic_info.is_foreign:
            return _sampled(f"route '{route.filter}': sample {route.sampler}")
        return event.topic_info, event.device_id, event.message_id, event.timestamp, event.body


def _sampled(rule: str) -> UncertainFate:
    return UncertainFate(f"are sampled by numbers that the spool gives them ({rule})")


def omit_by_topic(rules: BridgeRules, index: MessageIndex, others: Collection[str]) -> tuple[list[str], list[str]]:
    """Leave out of the index what a rule keeps from the sink, of devices that speak the message contract.

    They are all but the `others`. Returns sentences on what is left out, and on what cannot be told: of such messages
    the topic and the id are known, and no values.
    """
    omitted, unknown = Counter[str](), Counter[str]()
    slots: list[Indices] = []
    for at, device in enumerate(index.devices):
        if device.device_id in others:
            continue
        own = np.arange(int(index.start[at]), int(index.start[at + 1]))
        fate, kept = rules.fate_of_device(device)
        left = own if kept is None else own[~kept]
        if fate and len(left):
            (unknown if isinstance(fate, UncertainFate) else omitted)[str(fate)] += len(left)
            slots.append(left)
    if slots:
        index.omit(np.concatenate(slots))
    return rule_notes(omitted), fate_gaps(unknown)


def rule_notes(counts: Counter[str]) -> list[str]:
    """Return a sentence for each rule that keeps messages from a sink."""
    return [f"{count:,} are left out by the bridge's rule: {rule}" for rule, count in counts.most_common()]


def fate_gaps(counts: Counter[str]) -> list[str]:
    """Return a sentence for each reason for which it cannot be told whether messages are in a sink."""
    return [
        f"{count:,} messages {reason}: whether they arrived is not compared" for reason, count in counts.most_common()
    ]
