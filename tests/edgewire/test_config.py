"""Configuration: what is read, what wins, and what a user is told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import model_validator
from pydantic_settings import SettingsConfigDict

from edgewire import config
from edgewire.config import Config, ConfigFile, DurationMs, SizeBytes
from edgewire.config_errors import text_matching
from edgewire.errors import ConfigError


class Inner(Config):
    size: SizeBytes = 1024
    wait: DurationMs = 1000


class Outer(ConfigFile):
    model_config = SettingsConfigDict(env_prefix="TESTFLEET_")

    name: str = "x"
    count: int = 1
    inner: Inner = Inner()


def parse(text: str) -> Outer:
    return config.parse_config(text, Outer, name="file.yaml")


def test_units_are_read() -> None:
    outer = parse("inner: {size: 2MiB, wait: 1.5m}")
    assert (outer.inner.size, outer.inner.wait) == (2 << 20, 90_000)


@given(st.integers(0, 10**10))
def test_a_duration_reads_back_as_it_was_written(milliseconds: int) -> None:
    assert config.duration_ms(config.duration_text(milliseconds)) == milliseconds


def test_a_duration_for_people_is_rounded_to_its_largest_fitting_unit() -> None:
    texts = [config.humanize_duration(seconds) for seconds in (5, 150, 9000, 999_999)]
    assert texts == ["5 s", "2 min", "2 h", "12 d"]


@pytest.mark.parametrize("text", ["ten", "10 parsecs", "", "-1s", True])
def test_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        config.duration_ms(text)


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTFLEET_COUNT", "7")
    monkeypatch.setenv("TESTFLEET_INNER__WAIT", "3s")
    outer = parse("count: 2\ninner: {size: 5KB}")
    assert (outer.count, outer.inner.wait, outer.inner.size) == (7, 3000, 5000)


def test_dotenv_lies_between_file_and_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TESTFLEET_COUNT=5\nTESTFLEET_NAME=dotenv\nOTHER=2\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTFLEET_COUNT", "7")
    outer = parse("count: 2\nname: file")
    assert (outer.count, outer.name) == (7, "dotenv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cuont: 2", "file.yaml:1: unknown key 'cuont', did you mean 'count'?"),
        ("inner: {sise: 2}", "file.yaml:1: unknown key 'inner.sise', did you mean 'size'?"),
        ("count: many", "file.yaml:1: count: Input should be a valid integer"),
        ("inner: {wait: soon}", "file.yaml:1: inner.wait: 'soon' is no duration"),
        ("- a list", "file.yaml: must be a mapping of keys to values, not a list"),
        ("a: b: c", "file.yaml:1: is not YAML"),
        ("1: x", "file.yaml:1: key 1 must be a text"),
    ],
)
def test_a_fault_is_one_sentence_that_names_file_and_key(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(text)
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: there is no such file"):
        config.load_config(tmp_path / "nowhere.yaml", Outer)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\nwhen: 2026-13-45\n", "f.yaml:2: when: is read as a date, and is none: month must be in 1..12"),
        ("a: !!timestamp soon\n", "f.yaml:1: a: is read as a date, and is none; a text goes into quotes"),
        ("!!timestamp soon: 1\n", "f.yaml:1: soon: is read as a date, and is none; a text goes into quotes"),
        ("a:\n- !!bool soon\n", "f.yaml:2: a[0]: is read as true or false, and is none; a text goes into quotes"),
        ("a: !!int ''\n", "f.yaml:1: a: is read as a number, and is none; a text goes into quotes"),
        ("password: 2026-13-45\n", "f.yaml:1: password: is read as a date, and is none; a text goes into quotes"),
        ("inner:\n\twait: 1s\n", "f.yaml:2: is not YAML: the line begins with a tab: YAML is indented by spaces"),
        ("name: null\n", "f.yaml:1: name: is empty, but should be a text"),
    ],
)
def test_what_yaml_makes_of_a_text_is_explained(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        config.parse_config(text, Outer, name="f.yaml")
    assert said in str(raised.value)


def test_what_a_section_is_refused_for_may_be_a_variables_doing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ends(config.Config):
        first: int = 0
        last: int = 9

        @model_validator(mode="after")
        def _check(self) -> "Ends":
            if self.first > self.last:
                raise ValueError("the first is after the last")
            return self

    class File(config.ConfigFile):
        model_config = {"env_prefix": "TESTFLEET_"}
        ends: Ends = Ends()

    monkeypatch.setenv("TESTFLEET_ENDS__FIRST", "7")
    with pytest.raises(ConfigError) as raised:
        config.parse_config("ends: {last: 5}", File, name="f.yaml")
    said = "f.yaml:1: ends: the first is after the last; the environment has a part in it: TESTFLEET_ENDS__FIRST"
    assert str(raised.value) == said


@pytest.mark.parametrize(("name", "value"), [("TESTFLEET_NAME", "\udcff"), ("TESTFLEET_\udcff", "a")])
def test_a_variable_that_is_no_text_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(
        ConfigError, match=r"environment variable TESTFLEET_\S+ is no text in UTF-8: write it as that"
    ) as told:
        parse("count: 2")
    str(told.value).encode()


def test_all_that_is_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTFLEET_INNER__WAIT", "soon")
    monkeypatch.setenv("TESTFLEET_NAMES", "x")
    text = "name: 00042\ncuont: 1\ncount: 1\ncount: big\n7: x\n"
    with pytest.raises(ConfigError) as raised:
        parse(text)
    assert str(raised.value).splitlines() == [
        "file.yaml:1: name: '00042' is read as the number 34: put it in quotes",
        "file.yaml:2: unknown key 'cuont', did you mean 'count'?",
        "file.yaml:4: key 'count' is written twice, in line 3 and here: leave one out",
        "file.yaml:4: count: Input should be a valid integer, unable to parse string as an integer, got 'big'",
        "file.yaml:5: key 7 must be a text: put it in quotes",
        "environment variable TESTFLEET_NAMES is no setting, did you mean TESTFLEET_NAME?",
        "environment variable TESTFLEET_INNER__WAIT: inner.wait: 'soon' is no duration: write a number with ms, s, m, h"
        " or d, such as 10s",
    ]


def test_a_pattern_has_the_same_words_wherever_it_stands() -> None:
    text_matching("^of-this-test$", "words")
    text_matching("^of-this-test$", "words")
    with pytest.raises(ValueError, match="is 'words' elsewhere, and 'other words' here"):
        text_matching("^of-this-test$", "other words")
