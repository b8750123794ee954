"""Which time `edgefleet generate` exports, by its options or else by what is busy when."""

from datetime import datetime, time
from zoneinfo import ZoneInfo

from devices.export.job import ExportSpan
from devices.scenario.scenario import Scenario
from devices.sensors.registry import KINDS
from edgefleet.cli.common import DEFAULT_FROM, parse_instant
from edgewire.clock import iso_ms
from edgewire.errors import ConfigError

NO_END_MS = 253_370_764_800_000
"""9999-01-01: about what calendars are made for."""
_HOUR_MS = 3_600_000


def parse_span(
    scenario: Scenario, from_: str | None, to: str | None, records: int | None, *, clean: bool
) -> ExportSpan:
    """Return what is to be exported; raises `ConfigError` for a time that ends before it begins.

    Where no time is given it begins when the first kind of the scenario is busy, else with the day.
    """
    begin = _time_ms("--from", from_ or DEFAULT_FROM) if from_ or to else _busy_from_ms(scenario)
    end = begin + _HOUR_MS if records is None else NO_END_MS
    if to is not None:
        end = _time_ms("--to", to)
    if end <= begin and to is None:
        raise ConfigError(f"--from {iso_ms(begin)} is too late: there is no time after it to look for records in")
    if end <= begin:
        raise ConfigError(f"--to {to} is not after --from {iso_ms(begin)}")
    return ExportSpan(begin, end, records, clean)


def _busy_from_ms(scenario: Scenario) -> int:
    """Return when the first of the kinds is busy at the first site, on the day with which exports begin."""
    hour = min(KINDS[group.kind].busy_from_h for group in scenario.devices)
    if not hour:
        return _time_ms("--from", DEFAULT_FROM)
    local = datetime.combine(datetime.fromisoformat(DEFAULT_FROM), time(hour), ZoneInfo(scenario.sites[0].timezone))
    return round(local.timestamp() * 1000)


def _time_ms(option: str, text: str) -> int:
    instant = parse_instant(option, text)
    if instant > NO_END_MS:
        raise ConfigError(f"{option}: '{text}' is too far off: write a time before the year 9999")
    return instant
