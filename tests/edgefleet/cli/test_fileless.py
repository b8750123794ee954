"""Devices without a scenario file: `--kind`, `--count`, `--interval` and `--set`."""

import re
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from devices.scenario.scenario import Scenario
from edgefleet.cli import app
from edgefleet.cli.fleet_options import FleetOptions
from edgewire.errors import ConfigError


def fleet(*kinds: str, count: tuple[int, ...] = (), settings: tuple[str, ...] = ()) -> FleetOptions:
    return FleetOptions(kind=list(kinds), count=list(count), setting=list(settings))


def test_it_is_the_scenario_that_a_file_would_be() -> None:
    made = fleet(
        "bme280",
        count=(100,),
        settings=("noise=false", "temperature_c={low: -5, high: 12.5, drift: 0.5}", "outbox.max_messages=50"),
    )
    assert made.load(None, "1s") == Scenario(
        devices=[
            {
                "kind": "bme280",
                "count": 100,
                "interval": "1s",
                "settings": {"noise": False, "temperature_c": {"low": -5, "high": 12.5, "drift": 0.5}},
                "outbox": {"max_messages": 50},
            }
        ]
    )


def test_each_kind_makes_a_group_and_a_setting_of_one_kind_wins() -> None:
    made = fleet("bme280", "gps", "bme280", count=(3, 2, 1), settings=("gps.interval=1s", "jitter=10ms", "qos=0"))
    groups = made.load(None, "2s").devices
    assert [(one.kind, one.size, one.interval, one.jitter, one.qos) for one in groups] == [
        ("bme280", 3, 2000, 10, 0),
        ("gps", 2, 1000, 10, 0),
        ("bme280", 1, 2000, 10, 0),
    ]
    assert [one.size for one in fleet("gps", "people", count=(7,)).load(None).devices] == [7, 7]
    assert [one.size for one in fleet("gps").load(None).devices] == [1]


def test_a_setting_goes_to_the_kinds_that_have_it() -> None:
    groups = fleet("bme280", "gps", settings=("noise_factor=0", "cep_m=9")).load(None).devices
    assert [one.settings for one in groups] == [{"noise_factor": 0}, {"cep_m": 9}]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            fleet("bme280", settings=("nois=false",)),
            "--set nois=false: bme280 has no setting 'nois', did you mean 'noise'?",
        ),
        (
            fleet("bme280", "gps", settings=("xyz=1",)),
            "--set xyz=1: bme280 and gps have no setting 'xyz'; there are ageing,",
        ),
        (fleet("bme280", "gps", settings=("gps.noise_factor=1",)), "--set gps.noise_factor=1: gps has no setting"),
        (fleet("bme280", settings=("noise=maybe",)), "--set noise=maybe: Input should be a valid boolean"),
        (
            fleet("bme280", settings=("outbox.max_mesages=1",)),
            "unknown key 'max_mesages', did you mean 'max_messages'?",
        ),
        (fleet("bme280", settings=("noise",)), "--set noise: write KEY=VALUE, such as noise=false"),
        (fleet("bme280", settings=("=1",)), "--set =1: write KEY=VALUE"),
        (fleet("bme280", settings=("bme280=1",)), "--set bme280=1: say which key of bme280"),
        (
            fleet("bme280", settings=("decimals=012",)),
            "--set decimals=012: '012' is read as the number 10: put it in quotes",
        ),
        (fleet("bme280", settings=("noise=[",)), "--set noise=[: is not YAML"),
        (fleet("bme280", settings=("noise=1", "noise=0")), "--set noise=0: --set noise=1 says it already"),
        (
            fleet("bme280", settings=("outbox=1", "outbox.storage=ram")),
            "--set outbox.storage=ram: --set outbox=1 says it",
        ),
        (fleet("bme280", settings=("interval=2s",)), "--set interval=2s: --interval 1s says it already"),
        (fleet("bme280", settings=("kind=gps",)), "--set kind=gps: bme280 has no setting 'kind'"),
        (fleet("bme"), "--kind bme: is not a kind of device, did you mean 'bme280'?; there are bme280, traffic"),
        (fleet("bme", settings=("noise=1",)), "--kind bme: is not a kind of device"),
        (fleet("gps", "people", "traffic", count=(1, 2)), "--count is given 2 times, --kind 3 times: give one for all"),
        (fleet("gps", count=(2_000_000,)), "--count 2000000: Input should be less than or equal to 1000000"),
        (fleet("gps", count=(2,), settings=("id=unit",)), "--set id=unit: needs {n} in it"),
        (
            fleet("gps", "bme280", settings=("topic=p/{n}", "payload={at: timestamp, up: uptime_s}")),
            "--set topic=p/{n}: 'bme280-0001' would speak on 'p/1', where 'gps-0001' of devices[0] speaks too",
        ),
        (fleet(), "which devices? Give a scenario file, or for example --kind bme280 --count 100"),
    ],
)
def test_what_is_wrong_is_said_of_the_option(options: FleetOptions, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        options.load(None, "1s" if options.kind else None)
    assert str(refused.value).startswith(said) or said in str(refused.value)
    assert not re.match(r"\S*: devices\[", str(refused.value))


def test_the_environment_wins_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFLEET_SEED", "7")
    monkeypatch.setenv("EDGEFLEET_DEVICES__0__SETTINGS__NOISE", "false")
    made = fleet("bme280").load(None)
    assert (made.seed, made.devices[0].settings) == (7, {"noise": False})
    monkeypatch.setenv("EDGEFLEET_SEED", "x")
    with pytest.raises(ConfigError, match="environment variable EDGEFLEET_SEED: seed: Input should be a valid integer"):
        fleet("bme280").load(None)


@pytest.mark.parametrize("command", ["run", "generate", "doctor", "provision", "plot", "forget"])
def test_every_command_about_a_scenario_takes_kinds_in_its_place(command: str, tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text("devices: [{kind: gps}]")
    out = ("--out", str(tmp_path / "x.png")) if command == "plot" else ()
    for words, said in (
        (("--kind", "gps", "--set", "cep=3"), "--set cep=3: gps has no setting 'cep', did you mean 'cep_m'?"),
        ((str(path), "--kind", "gps", "--count", "2"), f"--kind and --count: the devices are in {path}: change them"),
        (("--count", "2"), "--count is for the devices of --kind: add that"),
        ((), "which devices? Give"),
    ):
        done = CliRunner().invoke(app, [command, *words, *out])
        assert isinstance(done.exception, ConfigError), done.output
        assert str(done.exception).startswith(said)


def test_an_export_without_a_file_or_times_is_an_hour() -> None:
    done = CliRunner().invoke(app, ["generate", "--kind", "bme280", "--count", "3", "--interval", "10m"])
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert len(lines) == 18
    assert '"timestamp":"2026-03-02T00:' in lines[-1]


@pytest.mark.parametrize(
    ("options", "begins"),
    [
        (("--kind", "gps"), "2026-03-02T10:00"),
        (("--kind", "people", "--kind", "traffic"), "2026-03-02T10:00"),
        (("--kind", "telematics", "--kind", "bme280"), "2026-03-02T00:00"),
        (("--kind", "gps", "--from", "2026-03-02"), "2026-03-02T00:00"),
        (("--kind", "gps", "--to", "2026-03-02T00:01"), "2026-03-02T00:00"),
        (("far.yaml",), "2026-03-02T01:00"),
    ],
)
def test_an_export_without_times_begins_when_there_is_something_to_see(
    options: tuple[str, ...], begins: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("far.yaml").write_text(
        "sites: [{name: far, latitude: 35.7, longitude: 139.7, timezone: Asia/Tokyo}]\n"
        "devices: [{kind: telematics, count: 2}]\n"
    )
    done = CliRunner().invoke(app, ["generate", *options, "--records", "3"])
    assert done.exit_code == 0, done.output
    times = [orjson.loads(line)["timestamp"] for line in done.stdout.splitlines()]
    assert len(times) == 3
    assert all(time.startswith(begins) for time in times), times
