"""What is tried with every broker, and what some of them do otherwise: the table of docs/brokers.md."""

from dataclasses import dataclass

from edgewire.mqtt import Version
from tests.brokers.programs import PROGRAMS, BrokerName

_BOTH = (Version.V311, Version.V5)


@dataclass(frozen=True, slots=True)
class Feature:
    """A row of the table: the test, and what it takes to try it."""

    test: str
    title: str
    versions: tuple[Version, ...] = _BOTH
    needs_store: bool = False
    is_negotiated: bool = False
    """Whether the programs that are run choose the version: the highest that the broker speaks."""

    def concerns(self, name: BrokerName, version: Version) -> bool:
        """Return whether it is something for this broker in this version."""
        program = PROGRAMS[name]
        versions = program.versions[-1:] if self.is_negotiated else self.versions
        return version in versions and (program.keeps_state or not self.needs_store)


FEATURES = (
    Feature("test_what_is_published_arrives", "QoS 0, 1 and 2, both ways"),
    Feature("test_a_message_keeps_its_qos", "QoS 0 stays QoS 0 for who subscribes at 2"),
    Feature("test_a_burst_stays_in_order", "500 messages at once stay in order"),
    Feature("test_large_payloads_arrive", "payloads of 200 KiB"),
    Feature("test_what_is_retained_reaches_who_comes_late", "retained messages"),
    Feature("test_a_will_is_published_unless_the_client_says_goodbye", "wills"),
    Feature("test_a_session_keeps_what_came_meanwhile", "sessions keep what came meanwhile, in order"),
    Feature("test_what_is_not_acknowledged_comes_again", "what was not acknowledged comes again"),
    Feature("test_what_comes_again_says_so", "… and is marked as a duplicate"),
    Feature("test_who_takes_a_name_ends_the_connection_that_had_it", "one connection a client id"),
    Feature("test_wildcards_match", "wildcards"),
    Feature("test_members_share_a_subscription", "shared subscriptions"),
    Feature("test_properties_pass_through", "properties pass through", (Version.V5,)),
    Feature("test_the_window_of_a_subscriber_is_kept", "the receive maximum of a subscriber", (Version.V5,)),
    Feature("test_publishes_go_on_after_a_restart", "goes on after a `kill -9`"),
    Feature("test_a_restart_keeps_sessions", "a restart keeps sessions, queues, retained", needs_store=True),
    Feature(
        "test_nothing_is_lost_on_the_way_to_the_store",
        "fleet → bridge, killed once → store: PASS; commands",
        is_negotiated=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Deviation:
    """Says what a broker does otherwise."""

    sentence: str
    is_constant: bool = True
    """Whether it does so each time, so that the test has to fail."""


_NO_SHARED = Deviation("It takes `$share/…` for a topic: run one bridge, or members with topics of their own.")
_NO_DUP = Deviation("It does not mark what it sends again; the bridge tells duplicates by device, boot and seq.")
_QOS = Deviation("It delivers at the QoS of the subscription: QoS 0 costs the acknowledgements of QoS 2.")

_RETAINED_TOO_OFTEN = Deviation(
    "It gives a new subscriber retained messages twice, and such of other topics.", is_constant=False
)
_LOST_NOW_AND_THEN = Deviation("Now and then a subscriber is not given what it should get.", is_constant=False)

_DEVIATIONS: dict[BrokerName, dict[str, Deviation]] = {
    BrokerName.MOSQUITTO: {
        "test_the_window_of_a_subscriber_is_kept": Deviation(
            "2.0.11 keeps to it until something is acknowledged; then each acknowledgement is answered with as many"
            " messages again.",
            is_constant=False,  # the one that is installed may be newer
        ),
    },
    BrokerName.IOTCORE: {
        "test_a_message_keeps_its_qos": _QOS,
        "test_what_comes_again_says_so": _NO_DUP,
        "test_the_window_of_a_subscriber_is_kept": Deviation("It sends all that it has."),
    },
    BrokerName.AMQTT: {
        "test_a_message_keeps_its_qos": _QOS,
        "test_a_will_is_published_unless_the_client_says_goodbye": _RETAINED_TOO_OFTEN,
        "test_what_is_retained_reaches_who_comes_late": _RETAINED_TOO_OFTEN,
        "test_what_is_not_acknowledged_comes_again": Deviation("It sends nothing again on a new connection."),
        "test_what_comes_again_says_so": Deviation("It sends nothing again on a new connection."),
        "test_who_takes_a_name_ends_the_connection_that_had_it": Deviation(
            "Two clients with one id stay connected: a standby is not told that the real device has come."
        ),
        "test_members_share_a_subscription": _NO_SHARED,
    },
    BrokerName.MOCHI: {
        "test_a_session_keeps_what_came_meanwhile": Deviation("What waited for a session comes in any order."),
        "test_the_window_of_a_subscriber_is_kept": Deviation(
            "It keeps to it, and sends some of what it held back only when the client connects again."
        ),
    },
    BrokerName.AEDES: {
        "test_what_comes_again_says_so": _NO_DUP,
        "test_members_share_a_subscription": _NO_SHARED,
    },
    BrokerName.MOQUETTE: {
        "test_what_is_retained_reaches_who_comes_late": Deviation(
            "It does not mark a retained message as one: a late subscriber takes it for new."
        ),
        "test_a_will_is_published_unless_the_client_says_goodbye": Deviation(
            "It does not keep a will that is retained."
        ),
        "test_members_share_a_subscription": _NO_SHARED,
        "test_publishes_go_on_after_a_restart": Deviation(
            "After a `kill -9` it may leave a SUBSCRIBE unanswered.", is_constant=False
        ),
        "test_a_session_keeps_what_came_meanwhile": _LOST_NOW_AND_THEN,
        "test_what_is_not_acknowledged_comes_again": _LOST_NOW_AND_THEN,
        "test_a_restart_keeps_sessions": Deviation(
            "It mostly forgets its sessions, its store notwithstanding.", is_constant=False
        ),
        "test_nothing_is_lost_on_the_way_to_the_store": _LOST_NOW_AND_THEN,
    },
    BrokerName.ARTEMIS: {
        "test_a_will_is_published_unless_the_client_says_goodbye": Deviation(
            "Now and then it publishes the will of a client that has said goodbye.", is_constant=False
        ),
        "test_what_comes_again_says_so": _NO_DUP,
    },
}


def deviation(name: BrokerName, feature: Feature) -> Deviation | None:
    """Return what a broker does otherwise, if anything."""
    return _DEVIATIONS.get(name, {}).get(feature.test)


def table() -> str:
    """Return the table in Markdown: ✓ works, a number is that of a note below it, – does not concern the broker."""
    notes: dict[str, int] = {}

    def cell(name: BrokerName, feature: Feature) -> str:
        if not any(feature.concerns(name, version) for version in PROGRAMS[name].versions):
            return "–"
        known = deviation(name, feature)
        return str(notes.setdefault(known.sentence, len(notes) + 1)) if known else "✓"

    names = list(BrokerName)
    speaks = ["3.1.1 and 5" if len(PROGRAMS[name].versions) > 1 else "3.1.1" for name in names]
    rows = [
        ["", *names],
        ["---", *(":-:" for _ in names)],
        ["MQTT", *speaks],
        *([feature.title, *(cell(name, feature) for name in names)] for feature in FEATURES),
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", *(f"{number}. {text}" for text, number in notes.items())])
