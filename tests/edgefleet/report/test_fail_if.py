"""A condition over the numbers of a run: what it means, what it says, and what is no condition."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.fleet.latency import Histogram
from devices.fleet.metrics import FleetSnapshot
from edgefleet.report.fail_if import NUMBERS, FailCondition, RunNumbers
from edgewire.errors import ConfigError
from tests.run_records import run_record


def numbers(pubacks: int = 200, **values: Any) -> RunNumbers:
    puback = Histogram()
    puback.add([20.0] * pubacks)
    final = FleetSnapshot(
        **{"devices": 100, "connected": 98, "emitted": 200, "acknowledged": 190, "dropped": 10} | values
    )
    final.puback = puback
    return RunNumbers(run_record(), final)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lost>0", "lost is 10"),
        ("lost>0 or refused>0 or p99_ms>50 or connected<0.99", "lost is 10; connected is 0.98"),
        ("connected < 99%", "connected is 0.98"),
        ("(refused == 0) and not lost_ratio<=0.01", "refused is 0; lost_ratio is 0.05"),
        ("50 < lost or 9.5<lost", "lost is 10"),
        ("acknowledged != emitted", "acknowledged is 190 and emitted is 200"),
        ("1<2", "it always holds"),
    ],
)
def test_a_condition_that_holds_says_why(text: str, said: str) -> None:
    assert FailCondition(text).find_failure(numbers()) == f"'--fail-if {text}' holds: {said}"


@pytest.mark.parametrize("text", ["lost>10", "p99_ms>50 or refused>0", "lost>0 and p99_ms>50", "not lost>0", "2<1"])
def test_a_condition_that_does_not_hold_is_silent(text: str) -> None:
    assert FailCondition(text).find_failure(numbers()) is None


def test_a_number_that_is_not_there_fails_unless_the_rest_decides() -> None:
    run = numbers(pubacks=25)
    failure = FailCondition("p99_ms>50 or refused>0").find_failure(run)
    assert failure == (
        "'--fail-if p99_ms>50 or refused>0' cannot be decided, which counts as a failure: there is no p99_ms: it takes "
        "100 values and there are 25"
    )
    assert FailCondition("not p99_ms>50").find_failure(run) is not None
    assert FailCondition("p99_ms>50 and refused>0").find_failure(run) is None
    assert "lost is 10" in str(FailCondition("p99_ms>50 or lost>0").find_failure(run))
    assert "there was no device" in str(FailCondition("connected<1").find_failure(numbers(devices=0, connected=0)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("losst>0", "'losst' is no number of a run; did you mean 'lost'?"),
        ("P99_MS>5", "did you mean 'p99_ms'?"),
        ("xyzzy>0", "there are devices, connected,"),
        ("", "nothing stands where a name or a number is needed"),
        ("lost", "after 'lost' stands nothing, where one of < <= > >= == != is needed"),
        ("lost=0", "write == to compare"),
        ("lost>0 refused>0", "'refused' follows a whole condition; join two by 'and' or 'or'"),
        ("p99_ms>50ms", "'ms' follows a whole condition"),
        ("(lost>0", "a '(' is not closed"),
        ("lost>0)", "')' follows a whole condition"),
        ("lost>and", "'and' stands where a name or a number is needed"),
        ("0<lost<5", "'<' follows a whole condition"),
        ("__import__('os')", "is neither a name, a number nor one of"),
        ("(" * 30 + "lost>0" + ")" * 30, "nested more than 20 deep"),
        ("not " * 100 + "lost>0", "nested more than 20 deep"),
        ("lost>0 or " * 200 + "lost>0", "longer than 1000 characters"),
    ],
)
def test_what_is_no_condition_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        FailCondition(text)
    assert said in str(raised.value)
    assert str(raised.value).startswith("--fail-if")


@given(st.text(alphabet="lost p9_ms<>=!()and or not 0.5%é\n", max_size=40))
def test_any_text_is_a_condition_or_one_sentence(text: str) -> None:
    try:
        condition = FailCondition(text)
    except ConfigError:
        return
    failure = condition.find_failure(numbers(pubacks=3))
    assert failure is None or failure.startswith("'--fail-if")


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_can_be_asked_of_an_empty_run_and_of_a_full_one(name: str) -> None:
    assert FailCondition(f"{name} == {name}").find_failure(numbers(devices=0, connected=0, emitted=0)) is not None
    assert NUMBERS[name][0]


def test_every_number_is_in_the_documents() -> None:
    text = (Path(__file__).parents[3] / "docs" / "fleet.md").read_text(encoding="utf-8")
    assert [name for name in NUMBERS if f"`{name}`" not in text] == []
