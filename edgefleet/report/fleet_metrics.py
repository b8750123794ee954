"""Serves `/metrics` of a running fleet, in Prometheus' format: the sums over its processes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from devices.fleet.incidents import OTHER, Incidents
from devices.fleet.latency import Histogram
from devices.fleet.metrics import FleetSnapshot
from edgefleet.launch.reload import ScenarioReloader
from edgefleet.report.live import ReadSnapshots
from edgewire.errors import ConfigError, ServiceUnavailable

# What is known by device has the label `kind`, and is as it was in the last round over all devices, about a second ago.
_GAUGES = {
    "devices": "Devices of this run.",
    "connected": "Devices whose connection, or that of their gateway, the broker has accepted.",
    "resting": "Devices that want no connection: they sleep, or are down during a reset.",
    "standby": "Emulated devices that have left their places to real sensors.",
    "inflight": "Messages published and not yet acknowledged.",
    "buffered": "Readings in the outboxes of the devices.",
    "collecting": "Readings that wait for others, to leave in one message.",
}
_COUNTERS = {
    "emitted": "Readings taken.",
    "acknowledged": "Messages that the broker has acknowledged.",
    "sent_qos0": "Messages sent at QoS 0, which nobody acknowledges.",
    "dropped": "Messages given up by their device.",
    "dropped_by_fault": "Of those: by a fault of the scenario or a reset, and not by a full outbox.",
    "reconnects": "Connections made again after a loss.",
}
_INCIDENTS = {
    "server_disconnects": "Connections that the broker ended, by its reason.",
    "connects_refused": "Connections that the broker refused, by its reason.",
    "connects_failed": "Dials that came to nothing here or on the way, by the reason.",
    "controls_refused": "Statuses and results of commands that the broker refused, by its reason.",
    "subscribes_refused": "Subscriptions to commands that the broker refused, by its reason.",
    "withdrawals": "Times that an emulator left its place to a real sensor, by how that showed itself.",
    "ignored": "Things from the broker that a device did not heed.",
    "adapted": "Things that devices do otherwise, as the limits of the broker ask for.",
}
_HISTOGRAMS = {
    "lag": ("schedule_lag_seconds", "From when a message was due until it was handed to its connection."),
    "puback": ("puback_latency_seconds", "From a publish to its acknowledgement, of a sample."),
    "connack": ("connack_latency_seconds", "From a dial to its CONNACK."),
}


class FleetCollector(Collector):
    """Reads the fleet when it is asked."""

    def __init__(self, snapshots: ReadSnapshots, reloader: ScenarioReloader | None = None) -> None:
        self._snapshots = snapshots
        self._reloader = reloader

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily]:
        """Yield the metrics of this moment."""
        snapshots = self._snapshots()
        total = FleetSnapshot.total(snapshot for _, snapshot in snapshots)
        families: list[GaugeMetricFamily | CounterMetricFamily] = [
            *(GaugeMetricFamily(f"edgefleet_{name}", text, labels=["kind"]) for name, text in _GAUGES.items()),
            *(CounterMetricFamily(f"edgefleet_{name}", text, labels=["kind"]) for name, text in _COUNTERS.items()),
        ]
        for family in families:
            for kind, gauges in total.kinds.items():
                family.add_metric([kind], getattr(gauges, family.name.removeprefix("edgefleet_")))
            yield family
        yield GaugeMetricFamily("edgefleet_never_connected", "Devices not connected even once.", total.unconnected)
        yield GaugeMetricFamily(
            "edgefleet_gateways", "Gateways of this run, each with one connection for many devices.", total.gateways
        )
        yield GaugeMetricFamily(
            "edgefleet_gateways_connected", "Those whose connection the broker has accepted.", total.gateways_connected
        )
        yield CounterMetricFamily("edgefleet_failed_dials", "Dials that led to no connection.", total.failed_dials)
        yield CounterMetricFamily("edgefleet_batches", "Messages that say several readings.", total.batches)
        yield CounterMetricFamily("edgefleet_batched", "Readings in such messages.", total.batched)
        if self._reloader is not None:
            reloads = CounterMetricFamily(
                "edgefleet_reloads", "Times that the scenario was read again, by what came of it.", labels=["outcome"]
            )
            reloads.add_metric(["applied"], self._reloader.applied)
            reloads.add_metric(["refused"], self._reloader.refused)
            yield reloads
        yield from _incidents(total.incidents, list(total.kinds))
        for name, (metric, text) in _HISTOGRAMS.items():
            histogram: Histogram = getattr(total, name)
            yield HistogramMetricFamily(
                f"edgefleet_{metric}", text, buckets=_cumulative(histogram), sum_value=histogram.sum_ms / 1000
            )
        memory = GaugeMetricFamily("edgefleet_worker_memory_bytes", "Memory of a process.", labels=["worker"])
        cpu = CounterMetricFamily("edgefleet_worker_cpu_seconds", "Processor time of a process.", labels=["worker"])
        up = GaugeMetricFamily("edgefleet_worker_up", "0 once a process is dead or silent.", labels=["worker"])
        for number, (state, snapshot) in enumerate(snapshots):
            up.add_metric([str(number)], state.is_up)
            memory.add_metric([str(number)], snapshot.rss_bytes)
            cpu.add_metric([str(number)], snapshot.cpu_s)
        yield up
        yield memory
        yield cpu


def _incidents(incidents: Incidents, kinds: Sequence[str]) -> Iterator[CounterMetricFamily]:
    """Yield them by reason, and their sums: of a reason that appears with 1 Prometheus sees no increase."""
    sums = CounterMetricFamily(
        "edgefleet_incidents", "All of a sort, whatever their reason: the other metrics' sums.", labels=["incident"]
    )
    refused = CounterMetricFamily(
        "edgefleet_refused", "Messages that the broker refused, by kind and reason.", labels=["kind", "reason"]
    )
    for (kind, reason), count in ({(kind, OTHER): 0 for kind in kinds} | incidents.refused).items():
        refused.add_metric([kind, reason], count)
    sums.add_metric(["refused"], incidents.refused.total())
    yield refused
    for name, text in _INCIDENTS.items():
        metric = CounterMetricFamily(f"edgefleet_{name}", text, labels=["reason"])
        counts = getattr(incidents, name)
        for reason, count in ({OTHER: 0} | counts).items():
            metric.add_metric([reason], count)
        sums.add_metric([name], counts.total())
        yield metric
    takeovers = incidents.takeovers.events
    sums.add_metric(["takeovers"], takeovers)
    yield CounterMetricFamily("edgefleet_takeovers", "Connections ended by another client with the id.", takeovers)
    yield sums


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    """Return Prometheus' buckets: how many took no longer than each edge (s)."""
    buckets = [(edge / 1000, float(count)) for edge, count in histogram.cumulative()]
    return [(f"{edge:g}", count) for edge, count in buckets] + [("+Inf", float(histogram.total))]


@contextmanager
def serve_metrics(
    snapshots: ReadSnapshots, address: str | None, reloader: ScenarioReloader | None = None
) -> Iterator[None]:
    """Serve them on `PORT` or `HOST:PORT` for as long as the block runs; None serves nothing.

    Raises `ConfigError` for an address that is none, `ServiceUnavailable` where the port is taken.
    """
    if address is None:
        yield
        return
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"--metrics: '{address}' is neither a port nor HOST:PORT")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(FleetCollector(snapshots, reloader))
    try:
        server, thread = start_http_server(int(port), host or "127.0.0.1", registry)
    except OSError as error:
        raise ServiceUnavailable(f"--metrics: cannot listen on {address}: {error.strerror or error}") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
