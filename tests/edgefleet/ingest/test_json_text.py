"""What is refused of valid JSON, because a store could not keep it or two readers would not agree on it."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefleet.ingest.json_text import MAX_DEPTH, check_json_text
from edgewire.messages import ACCEPTED, ContractError


def check(text: bytes) -> None:
    check_json_text(text, orjson.loads(text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (rb'{"note":"a\u0000b"}', r"'note' has the character \\u0000"),
        (rb'{"a":{"b":["x","\\\u0000"]}}', r"'a\.b\[1\]' has the character"),
        (rb'{"x\u0000":1}', r"'x\\x00' has the character"),
        (b'{"v":1e-20000}', r"exponent of more than 3 digits, '…1e-20000'"),
        (b'{"v":[-0.1E-9999 ]}', "exponent of more than 3 digits"),
        (b'{"v":0e+0009999}', "exponent of more than 3 digits"),
        (b'{"v":0.' + b"1" * 20_000 + b"}", "number of more than 1000 digits, '0.1111"),
        (b'{"v":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "nested deeper than 100 levels"),
        (b'{"v":' + b'{"v":' * 300 + b"1" + b"}" * 301, "nested deeper"),
        (b'{"device_id":"a","device_id":"b"}', "key 'device_id' stands twice"),
        (b'{"a":{"b":1,"b" :1}}', "key 'b' stands twice"),
        (rb'{"\u0061":1,"a":2}', "key 'a' stands twice"),
        (rb'[{"a":"\"","c":[{"b":1,"b":2}]}]', "key 'b' stands twice"),
    ],
)
def test_what_stores_or_readers_would_stumble_over_is_named(text: bytes, reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        check(text)


@pytest.mark.parametrize(
    "text",
    [
        rb'{"note":"\\u0000"}',
        rb'{"note":"\\\\u0000 1e-20000,\\"}',
        b'{"id":"7e12345","more":["1e99999", "1e-99999 "]}',
        b'{"v":1E+300, "w":-1.5e-300}',
        b'{"v":[{"a":1},{"a":1}], "a":{"a":{}}}',
        b'{"v":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}",
        b'{"v":[' + b"[]," * 5000 + b"[]]}",
        b'{"digits":"' + b"1" * 20_000 + b'"}',
        rb'{"quotes":"\u0022\" \u00e9"}',
    ],
)
def test_what_only_looks_like_it_is_taken(text: bytes) -> None:
    check(text)


@pytest.mark.parametrize("kind", ACCEPTED)
def test_every_message_of_the_contract_is_taken_in_any_notation(kind: str) -> None:
    for message in ACCEPTED[kind].messages:
        for option in (None, orjson.OPT_INDENT_2):
            check(orjson.dumps(message.examples[0], option=option))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_only_a_nul_is_refused_of_what_a_program_writes(value: Any) -> None:
    for option in (None, orjson.OPT_INDENT_2):
        text = orjson.dumps(value, option=option)
        if rb"\u0000" not in text:
            check(text)
        elif "\\" not in str(value).replace("\\x00", ""):
            with pytest.raises(ContractError, match="u0000"):
                check(text)
