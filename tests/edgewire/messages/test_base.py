"""Message ids: what is written is read back, and nothing else is taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.messages import ContractError, MessageId
from edgewire.messages.base import DEVICE_ID

device_ids = st.from_regex(DEVICE_ID, fullmatch=True)
numbers = st.integers(0, 10**15 - 1)


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
