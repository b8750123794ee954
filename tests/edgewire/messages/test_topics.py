"""Topics and message ids: what is written is read back, and nothing else is taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.messages import MEASUREMENT_FILTERS, Channel, ContractError, MessageId, Topic
from edgewire.messages.base import DEVICE_ID
from edgewire.messages.topics import SITE

device_ids = st.from_regex(DEVICE_ID, fullmatch=True)
numbers = st.integers(0, 10**15 - 1)
topics = st.builds(
    Topic,
    st.from_regex(SITE, fullmatch=True),
    st.from_regex(r"[a-z0-9_]{1,20}", fullmatch=True),
    device_ids,
    st.sampled_from(Channel),
)


@given(topics)
def test_a_topic_is_read_back(topic: Topic) -> None:
    assert Topic.parse(str(topic)) == topic


@given(device_ids, numbers, numbers)
def test_an_id_is_read_back(device_id: str, boot: int, seq: int) -> None:
    message_id = MessageId(device_id, boot, seq)
    assert MessageId.parse(str(message_id)) == message_id


@given(st.text())
def test_any_text_is_an_id_or_refused(text: str) -> None:
    try:
        parsed = MessageId.parse(text)
    except ContractError:
        return
    assert str(parsed) == text


@pytest.mark.parametrize(
    "text", ["", "a:1", "a:1:2:3", ":1:2", "a:-1:2", "a:1:2 ", "a/b:1:2", "a:1:2\n", "a:１:2", "a:01:2"]
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ContractError, match="device_id:boot:seq"):
        MessageId.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "edge/s/gps/d",
        "edge/s/gps/d/telemetry/x",
        "edge//gps/d/telemetry",
        "edge/s/gps/+/telemetry",
        "edge/s/gps/d/config",
        "Edge/s/gps/d/telemetry",
        "edge/s/gps/d/telemetry\n",
        "$SYS/broker/uptime",
    ],
)
def test_what_is_outside_the_scheme_is_refused(text: str) -> None:
    with pytest.raises(ContractError, match="edge/SITE/KIND/DEVICE/CHANNEL"):
        Topic.parse(text)


def test_measurement_filters_cover_measurements_only() -> None:
    channels = {text.rpartition("/")[2] for text in MEASUREMENT_FILTERS}
    assert channels == {Channel.TELEMETRY, Channel.EVENT}
    assert {text.rpartition("/")[0] for text in MEASUREMENT_FILTERS} == {"edge/+/+/+"}
