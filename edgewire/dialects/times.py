"""Reads the times that devices write: with an offset, local, as seconds or milliseconds since 1970, or not at all."""

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from edgewire.clock import LAST_MS
from edgewire.dialects.base import Arrival, TimeSource

_SET_MS = 1_451_606_400_000
"""2016-01-01. A device that shows an earlier time has not been told the time since its power-on."""
_SET_S = _SET_MS // 1000
_SET_YEAR = 2016
_MILLISECONDS_FROM = 100_000_000_000
"""Numbers from here on are milliseconds: as seconds they are past the year 5138, as milliseconds past March 1973."""
_MICROSECONDS_FROM = 100_000_000_000_000
_LONGEST = 64
_MINUTE = len("2026-03-01T12:00")
_SECOND = len("2026-03-01T12:00:00")
_OFFSET = len("+01:00")
_KNOWN = 8192
"""Texts whose time is remembered: many devices write the same second, and each the same minute again."""

DeviceTime = tuple[int, TimeSource, str]
"""Milliseconds since 1970 UTC, where that is from, and a remark, mostly empty."""

_DEVICE, _ZONE, _ARRIVAL = TimeSource.DEVICE, TimeSource.ZONE, TimeSource.ARRIVAL
_NUMBERS = (int, float)
_NO_TIME = -1
_NO_ZONE = "local time without a zone: set timezone"


def device_time(written: object, arrival: Arrival) -> DeviceTime:
    """Return the time of a message: as written where that can be placed, else its arrival."""
    if written is None:
        return arrival.received_ms, _ARRIVAL, ""
    if type(written) in _NUMBERS and _SET_S <= written < _MILLISECONDS_FROM:  # type: ignore[operator]
        return round(written * 1000), _DEVICE, ""  # type: ignore[operator]  # seconds, as most numbers are
    if type(written) is str and len(written) <= _LONGEST:
        found = _written_time(written, arrival.zone)
    elif isinstance(written, bool):
        found = _unplaced(f"time {written} is none")
    elif isinstance(written, int | float):
        found = _checked(_epoch_ms(written), _DEVICE, written)
    else:
        found = _unplaced("time is neither a text nor a number")
    return (arrival.received_ms, _ARRIVAL, found[2]) if found[0] == _NO_TIME else found


def device_instant(at_ms: int, written: object, arrival: Arrival) -> DeviceTime:
    """Return the time of a message that says how long after 1970 it was, in a unit that is known."""
    if _SET_MS <= at_ms <= LAST_MS:
        return at_ms, _DEVICE, ""
    return arrival.received_ms, _ARRIVAL, _checked(at_ms, _DEVICE, written)[2]


@lru_cache(_KNOWN)
def _written_time(written: str, zone: ZoneInfo | None) -> DeviceTime:
    """Return the time that a text says; `_NO_TIME` where that of the arrival is to be taken."""
    # What devices write mostly: a whole second, of a minute that they have written before.
    if written[_MINUTE : _MINUTE + 1] == ":" and written[_SECOND:] in ("", "Z"):
        second = written[_MINUTE + 1 : _SECOND]
        if second.isascii() and second.isdecimal() and len(second) == 2 and second < "60":
            minute = _minute(written[:_MINUTE], written[_SECOND:], zone)
            if minute is not None:
                return minute[0] + int(second) * 1000, minute[1], ""
    return _parsed(written, zone)


@lru_cache(_KNOWN)
def _minute(text: str, offset: str, zone: ZoneInfo | None) -> DeviceTime | None:
    """Return when a minute begins; None where there is more to be said of it, or no such time."""
    first, last = (_parsed(f"{text}:{second}{offset}", zone) for second in ("00", "59"))
    return first if not (first[2] or last[2]) and last[0] - first[0] == 59_000 else None


def _parsed(written: str, zone: ZoneInfo | None) -> DeviceTime:
    text = written.strip()
    if text.replace(".", "", 1).isdecimal() and text.isascii():
        return _checked(_epoch_ms(float(text)), _DEVICE, written)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _unplaced(f"time {text!r} is no ISO 8601")
    if moment.tzinfo is not None:
        return _checked(_ms(moment), _DEVICE, written)
    return _local(moment, zone)


def _local(moment: datetime, zone: ZoneInfo | None) -> DeviceTime:
    """Place a time without an offset: in the zone that was given, or not at all."""
    if moment.year < _SET_YEAR:
        return _unplaced("the device's clock is not set")
    if zone is None:
        return _unplaced(_NO_ZONE)
    at_ms, source, remark = _checked(_ms(moment.replace(tzinfo=zone)), _ZONE, moment.isoformat())
    return at_ms, source, remark or _clock_change(moment, zone)


def _clock_change(moment: datetime, zone: ZoneInfo) -> str:
    """Say that a local time is one of the hour that comes twice, or of the hour that does not come, each year."""
    earlier, later = (moment.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if earlier.utcoffset() == later.utcoffset():
        return ""
    exists = earlier.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == moment
    return "this local time comes twice: the earlier is taken" if exists else "this local time does not exist"


def _checked(at_ms: int | None, source: TimeSource, written: object) -> DeviceTime:
    if at_ms is None or not 0 <= at_ms <= LAST_MS:
        return _unplaced(f"time {written} is out of range")
    if at_ms < _SET_MS:
        return _unplaced(f"the device's clock is not set: it shows {written}")
    return at_ms, source, ""


def _unplaced(remark: str) -> DeviceTime:
    return _NO_TIME, _ARRIVAL, remark


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
