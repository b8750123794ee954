"""The metrics of one bridge, in a registry of their own; `admin` serves them.

Counters are counted a batch at a time. The books come from the spool (`Spool`, `/ledger`), not from these.
"""

from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_COMMIT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
_DELIVERY_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300, 3600)

_USUAL_RETRIES = ("network", "timeout", "not_connected", "429", "500", "502", "503", "504")
"""Causes of retries that are told from the start; others when they first happen."""

_REMARKS = ("known", "error_in_answer", "html", "expired")


class BridgeMetrics:
    """Holds every metric of the bridge; the text of each says what it counts."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._connected: dict[str, bool] = {}

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"edgefleet_bridge_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"edgefleet_bridge_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"edgefleet_bridge_{name}", text, labels, buckets=buckets, registry=registry)

        self.received = counter(
            "received",
            "Messages from the broker by QoS: 0 cannot be acknowledged and may be lost before the spool; 1 and 2 are"
            " acknowledged once they are in it, and come at least once",
            "qos",
        )
        self.redelivered = counter("redelivered", "Messages from the broker with the DUP flag")
        self.retained = counter("retained", "Messages from the broker with the retain flag")
        self.spooled = counter("spooled", "Messages committed to the spool")
        self.connected = gauge("connected", "Whether the broker, or one of the list, has accepted us")
        self.broker_connected = gauge("broker_connected", "Whether this broker has accepted us", "broker")
        self.failovers = counter("failovers", "Times the bridge went on to another broker of the list")
        self.reconnects = counter("reconnects", "Connections to the broker after the first")
        self.sessions_lost = counter("sessions_lost", "Times the broker had no session: what it had queued is lost")
        self.subscribe_failures = counter(
            "subscribe_failures", "Subscriptions that the broker refused, or did not answer in time", "cause"
        )
        self.session_expiry_s = gauge(
            "session_expiry_seconds", "How long the broker keeps the session, and queues, while we are away; as it says"
        )
        self.mqtt_version = gauge("mqtt_version", "Protocol level of the connection: 5, or 4 for MQTT 3.1.1")
        self.receive_window = gauge(
            "receive_window", "Messages the broker may send before the first is acknowledged; 20, mostly, in 3.1.1"
        )
        self.unacknowledged_s = gauge("oldest_unacknowledged_seconds", "Age of the oldest message not yet committed")
        self.renewals = counter("renewals", "Connections renewed because a message waited too long for its commit")
        self.broker_statistics = gauge("broker_statistics", "Whether the broker shows its count of dropped messages")
        self.broker_dropped = counter("broker_dropped", "Messages that the broker says it has dropped, of all clients")
        self.broker_stored = gauge("broker_stored", "Messages that the broker says it holds, of all clients")
        self.broker_stored_bytes = gauge("broker_stored_bytes", "Bytes that the broker says it holds, of all clients")
        self.missing = counter("missing", "Messages of devices that are missing by their numbers")
        self.found_late = counter("found_late", "Messages counted as missing that have come after all")
        self.reloads = counter("reloads", "Reloads of the configuration", "outcome")
        self.commit_s = histogram("commit_seconds", "Time of one commit to the spool", _COMMIT_S)
        self.spool_bytes = gauge("spool_bytes", "What the spool holds")
        self.spool_limit_bytes = gauge("spool_limit_bytes", "What the spool may hold")
        self.headroom_s = gauge(
            "broker_headroom_seconds",
            "While the spool is full: until the broker's queue is; -1 where it is not or unknown",
        )
        self.queued = gauge("queued", "Messages received and not yet committed")
        self.delivered = counter("delivered", "Messages a sink has taken", "sink")
        self.dropped = counter("dropped", "Messages whose route leaves a sink out", "sink")
        self.invalid = counter(
            "invalid", "Messages that the check of their route finds fault with, by what it does then", "route", "level"
        )
        self.dead_letters = counter("dead_letters", "Messages given up for a sink", "sink")
        self.letters_published = counter("dead_letters_published", "Dead letters published, by place", "place")
        self.retries = counter("retries", "Messages to be tried again, by cause", "sink", "cause")
        self.remarks = counter(
            "remarks",
            "Delivered messages of which an operator should know: what the answer said although it took them (html,"
            " error_in_answer), a conflict that shows a resend to be known (known), those that had expired (expired)",
            "sink",
            "cause",
        )
        self.delivery_s = histogram(
            "delivery_seconds", "From receipt to the sink, of the oldest message of each batch", _DELIVERY_S, "sink"
        )
        self.paused = gauge("paused", "Whether only a change of configuration can go on here", "sink", "lane")
        self.devices_waiting = gauge(
            "devices_waiting", "Devices that wait alone: a message of theirs is refused while others go on", "sink"
        )
        self.breaker_state = gauge(
            "breaker_state",
            "Of a destination: 0 closed, 1 half-open (one probe is under way), 2 open",
            "sink",
            "destination",
        )
        self.breaker_opened = counter(
            "breaker_opened", "Times a breaker went from closed to open", "sink", "destination"
        )
        self.ledger = gauge("ledger_messages", "The books, counted from the spool file", "sink", "entry")
        self.balanced = gauge("ledger_balanced", "Whether the books of every sink balance")
        self.pending = gauge("pending", "Messages in the spool that a sink is not done with", "sink")
        self.oldest_s = gauge("oldest_pending_seconds", "Age of the oldest message a sink is not done with", "sink")

        # Of one that appears with 1 Prometheus sees no increase; see `init_sink`.
        for outcome in ("done", "refused"):
            self.reloads.labels(outcome)
        for cause in ("refused", "no_answer"):
            self.subscribe_failures.labels(cause)
        for qos in ("0", "1", "2"):
            self.received.labels(qos)

    def set_connected(self, broker: str, connected: bool) -> None:
        """Tell whether a broker has accepted us; its text has no secrets."""
        self._connected[broker] = connected
        self.broker_connected.labels(broker).set(connected)
        self.connected.set(any(self._connected.values()))

    def init_sink(self, sink: str) -> None:
        """Tell the counters of a sink from 0 on: of one that appears with 1 Prometheus sees no increase."""
        for of_sink in (self.delivered, self.dropped, self.dead_letters):
            of_sink.labels(sink)
        for cause in _USUAL_RETRIES:
            self.retries.labels(sink, cause)
        for cause in _REMARKS:
            self.remarks.labels(sink, cause)

    def init_destination(self, sink: str, destination: str) -> None:
        """Tell what is known of a destination before its first failure."""
        self.breaker_opened.labels(sink, destination)
        self.breaker_state.labels(sink, destination).set(0)
        self.paused.labels(sink, destination).set(0)

    def remove_sink(self, sink: str) -> None:
        """Tell no longer what is measured of a sink now: it is there no more. Totals stay."""
        for of_sink in (self.pending, self.oldest_s, self.devices_waiting):
            with suppress(KeyError):
                of_sink.remove(sink)
