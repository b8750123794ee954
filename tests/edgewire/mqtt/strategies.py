"""Hypothesis strategies for every packet of both versions, and for the ways to cut a stream."""

from hypothesis import strategies as st

from edgewire.mqtt import Subscription, Version, Will
from edgewire.mqtt.packets import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)
from edgewire.mqtt.properties import NO_PROPERTIES, PROPERTY_RULES, PropertyForm, PropertyScope

texts = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=20)
binaries = st.binary(max_size=200)
u8s, u16s, u32s = st.integers(0, 255), st.integers(0, 65535), st.integers(0, 2**32 - 1)
packet_ids = st.integers(1, 65535)
topics = texts.map(lambda text: text.replace("+", "-").replace("#", "-")).filter(bool)
levels = st.one_of(st.just("+"), topics.map(lambda text: text.replace("/", "-").replace("$", "-")))
filters = st.builds(
    lambda parts, tail: "/".join(parts) + tail, st.lists(levels, min_size=1, max_size=4), st.sampled_from(["", "/#"])
)
codes = st.lists(u8s, min_size=1, max_size=5).map(tuple)

_VALUES = {
    PropertyForm.FLAG: st.integers(0, 1),
    PropertyForm.U16: u16s,
    PropertyForm.COUNT16: packet_ids,
    PropertyForm.U32: u32s,
    PropertyForm.COUNT32: st.integers(1, 2**32 - 1),
    PropertyForm.TEXT: texts,
    PropertyForm.TOPIC: topics,
    PropertyForm.BINARY: binaries,
    PropertyForm.PAIRS: st.lists(st.tuples(texts, texts), min_size=1, max_size=3).map(tuple),
}


def _value(form: PropertyForm, scope: PropertyScope) -> st.SearchStrategy[object]:
    if form is PropertyForm.IDENTIFIERS:
        limit = 3 if scope is PropertyScope.PUBLISH else 1
        return st.lists(st.integers(1, 268_435_455), min_size=1, max_size=limit).map(tuple)
    return _VALUES[form]


def properties(scope: PropertyScope, version: Version) -> st.SearchStrategy[object]:
    """Any set of the properties that may stand there; none in 3.1.1."""
    if version is Version.V311:
        return st.just(NO_PROPERTIES)
    # The delay of a will has its own field.
    here = [rule for rule in PROPERTY_RULES if scope in rule.scopes and rule.name != "will_delay_interval"]
    return st.fixed_dictionaries({}, optional={rule.name: _value(rule.form, scope) for rule in here})


def publishes(version: Version) -> st.SearchStrategy[Publish]:
    plain = {"topic": topics, "payload": binaries, "retain": st.booleans()}
    plain["properties"] = properties(PropertyScope.PUBLISH, version)
    acknowledged = {**plain, "qos": st.integers(1, 2), "dup": st.booleans(), "packet_id": packet_ids}
    return st.one_of(st.builds(Publish, **plain), st.builds(Publish, **acknowledged))


def connects(version: Version) -> st.SearchStrategy[Connect]:
    v5 = version is Version.V5
    wills = st.builds(
        Will,
        topic=topics,
        payload=binaries,
        qos=st.integers(0, 2),
        retain=st.booleans(),
        delay_s=u32s if v5 else st.just(0),
    )
    plain = {
        "client_id": texts if v5 else texts.filter(bool),
        "clean_start": st.booleans(),
        "keep_alive_s": u16s,
        "properties": properties(PropertyScope.CONNECT, version),
    }
    password = {} if v5 else {"username": texts}
    return st.one_of(
        st.builds(Connect, **plain),
        st.builds(Connect, **plain, password=binaries, **password),
        st.builds(Connect, **plain, username=texts),
        st.builds(Connect, **plain, will=wills, will_properties=properties(PropertyScope.WILL, version)),
        # 3.1.1 keeps no session of a client without an id.
        st.builds(Connect, **{**plain, "client_id": st.just(""), "clean_start": st.just(True)}),
    )


def subscriptions(version: Version) -> st.SearchStrategy[Subscription]:
    if version is Version.V311:
        return st.builds(Subscription, filters, st.integers(0, 2))
    return st.builds(Subscription, filters, st.integers(0, 2), st.booleans(), st.booleans(), st.integers(0, 2))


def packets(version: Version) -> st.SearchStrategy[Packet]:
    """Any packet of either side."""
    v5 = version is Version.V5

    def extra(scope: PropertyScope) -> st.SearchStrategy[object]:
        return properties(scope, version)

    acknowledgements = [
        st.builds(kind, packet_ids, u8s if v5 else st.just(0), extra(PropertyScope[kind.__name__.upper()]))
        for kind in (Puback, Pubrec, Pubrel, Pubcomp)
    ]
    granted = codes if v5 else st.lists(st.sampled_from([0, 1, 2, 0x80]), min_size=1, max_size=5).map(tuple)
    connacks = st.one_of(
        st.builds(Connack, st.booleans(), st.just(0), extra(PropertyScope.CONNACK)),
        st.builds(Connack, st.just(False), u8s if v5 else st.integers(0, 5), extra(PropertyScope.CONNACK)),
    )
    return st.one_of(
        connects(version),
        connacks,
        publishes(version),
        *acknowledgements,
        st.builds(
            Subscribe,
            packet_ids,
            st.lists(subscriptions(version), min_size=1, max_size=4).map(tuple),
            extra(PropertyScope.SUBSCRIBE),
        ),
        st.builds(Suback, packet_ids, granted, extra(PropertyScope.SUBACK)),
        st.builds(
            Unsubscribe,
            packet_ids,
            st.lists(filters, min_size=1, max_size=4).map(tuple),
            extra(PropertyScope.UNSUBSCRIBE),
        ),
        st.builds(Unsuback, packet_ids, codes if v5 else st.just(()), extra(PropertyScope.UNSUBACK)),
        st.builds(Pingreq),
        st.builds(Pingresp),
        st.builds(Disconnect, u8s if v5 else st.just(0), extra(PropertyScope.DISCONNECT)),
        *([st.builds(Auth, u8s, extra(PropertyScope.AUTH))] if v5 else []),
    )


@st.composite
def cuttings(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """`data` in chunks of any size, empty ones among them."""
    points = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[start:stop] for start, stop in zip([0, *points], [*points, len(data)], strict=True)]
