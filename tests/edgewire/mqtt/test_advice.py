"""Every reason code with which a server can say no has a sentence that says what to do."""

import pytest

from edgewire.mqtt.advice import ADVICE, Answer, advice
from edgewire.mqtt.reasons import refusal_name

# MQTT 5, 2.4, and for CONNACK of 3.1.1 its 3.2.2.3: what each packet of a server may say.
ALLOWED: dict[Answer, set[int]] = {
    "CONNACK": {1, 2, 3, 4, 5, *range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F},
    "PUBACK": {0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
    "PUBREC": {0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
    "SUBACK": {0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2},
    "DISCONNECT": {0x00, *range(0x80, 0x84), 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, *range(0x93, 0xA3)},
}


@pytest.mark.parametrize("answer", ALLOWED)
def test_every_code_that_the_standard_allows_has_advice_of_its_own_place(answer: Answer) -> None:
    assert ALLOWED[answer] <= set(ADVICE[answer])
    for code, sentence in ADVICE[answer].items():
        assert not refusal_name(code).startswith("reason"), "the standard knows it"
        assert len(sentence) > 20
        assert not sentence.endswith("."), "it stands behind a semicolon"


def test_a_keep_alive_that_mosquitto_finds_too_long_is_named_where_311_has_one_word_for_it() -> None:
    assert "max_keepalive" in advice("CONNACK", 2)
    assert "max_keepalive" not in advice("CONNACK", 0x85)


@pytest.mark.parametrize("answer", ALLOWED)
def test_a_code_that_has_no_business_there_is_said_to_have_none(answer: Answer) -> None:
    for code in range(256):
        sentence = advice(answer, code)
        if code not in ADVICE[answer]:
            assert f"MQTT has not for {answer}" in sentence
            assert f"0x{code:02x}" in sentence.lower()
