"""Topics: what is written is read back, and nothing else is taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.messages import MEASUREMENT_FILTERS, Channel, ContractError, Topic
from edgewire.messages.base import DEVICE_ID
from edgewire.messages.topics import SITE

topics = st.builds(
    Topic,
    st.from_regex(SITE, fullmatch=True),
    st.from_regex(r"[a-z0-9_]{1,20}", fullmatch=True),
    st.from_regex(DEVICE_ID, fullmatch=True),
    st.sampled_from(Channel),
)


@given(topics)
def test_a_topic_is_read_back(topic: Topic) -> None:
    assert Topic.parse(str(topic)) == topic


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
