"""Reads the times that devices write: with an offset, local, as seconds or milliseconds since 1970, or not at all."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from edgewire.dialects.base import Arrival, TimeSource

_SET_MS = 1_451_606_400_000
"""2016-01-01. A device that shows an earlier time has not been told the time since its power-on."""
_MILLISECONDS_FROM = 100_000_000_000
"""Numbers from here on are milliseconds: as seconds they are past the year 5138, as milliseconds past March 1973."""
_MICROSECONDS_FROM = 100_000_000_000_000
_LATEST_MS = 253_402_300_799_999
"""The last moment of the year 9999, which is as far as ISO 8601 with four digits goes."""
_LONGEST = 64

DeviceTime = tuple[int, TimeSource, str]
"""Milliseconds since 1970 UTC, where that is from, and a remark, mostly empty."""


def device_time(written: object, arrival: Arrival) -> DeviceTime:
    """Return the time of a message: as written where that can be placed, else its arrival."""
    if written is None:
        return arrival.received_ms, TimeSource.ARRIVAL, ""
    if isinstance(written, bool):
        return _at_arrival(arrival, f"time {written} is none")
    if isinstance(written, int | float):
        return _checked(_epoch_ms(written), TimeSource.DEVICE, written, arrival)
    if isinstance(written, str) and len(written) <= _LONGEST:
        text = written.strip()
        if text.replace(".", "", 1).isdecimal() and text.isascii():
            return _checked(_epoch_ms(float(text)), TimeSource.DEVICE, written, arrival)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return _at_arrival(arrival, f"time {text!r} is no ISO 8601")
        if moment.tzinfo is not None:
            return _checked(_ms(moment), TimeSource.DEVICE, written, arrival)
        return _local(moment, arrival)
    return _at_arrival(arrival, "time is neither a text nor a number")


def _local(moment: datetime, arrival: Arrival) -> DeviceTime:
    """Place a time without an offset: in the zone that was given, or not at all."""
    if arrival.zone is None:
        return _at_arrival(arrival, "local time without a zone: set timezone", moment.year)
    placed = moment.replace(tzinfo=arrival.zone)
    at_ms, source, remark = _checked(_ms(placed), TimeSource.ZONE, moment.isoformat(), arrival)
    return at_ms, source, remark or _clock_change(moment, arrival.zone)


def _clock_change(moment: datetime, zone: ZoneInfo) -> str:
    """Say that a local time is one of the hour that comes twice, or of the hour that does not come, each year."""
    earlier, later = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if earlier.utcoffset() == later.utcoffset():
        return ""
    exists = earlier.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == moment
    return "this local time comes twice: the earlier is taken" if exists else "this local time does not exist"


def _checked(at_ms: int | None, source: TimeSource, written: object, arrival: Arrival) -> DeviceTime:
    if at_ms is None or not 0 <= at_ms <= _LATEST_MS:
        return _at_arrival(arrival, f"time {written} is out of range")
    if at_ms < _SET_MS:
        return _at_arrival(arrival, f"the device's clock is not set: it shows {written}")
    return at_ms, source, ""


def _at_arrival(arrival: Arrival, remark: str, year: int = 9999) -> DeviceTime:
    if year < 2016:
        remark = "the device's clock is not set"
    return arrival.received_ms, TimeSource.ARRIVAL, remark


def _epoch_ms(number: float) -> int | None:
    """Return what a number of seconds, milliseconds or microseconds since 1970 means; None where it means nothing."""
    # NaN compares false with everything.
    if not abs(number) < 1e18:
        return None
    if abs(number) >= _MICROSECONDS_FROM:
        return round(number / 1000)
    return round(number) if abs(number) >= _MILLISECONDS_FROM else round(number * 1000)


def _ms(moment: datetime) -> int | None:
    try:
        return round(moment.timestamp() * 1000)
    except (OverflowError, ValueError):
        return None
