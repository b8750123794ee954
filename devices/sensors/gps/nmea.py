"""NMEA 0183 sentences as a u-blox receiver emits them each epoch: RMC, VTG, GGA, GSA, GSV, GLL.

Talker GN for what is of several systems, GP for the satellites in view; minutes with five decimals; the course is
empty when slow; GGA counts twelve satellites at most.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

_MOST_IN_GGA = 12
_PER_GSV = 4
_KMH_PER_KNOT = 1.852
_PDOP_OF_HDOP, _VDOP_OF_HDOP = 1.8, 1.5


class InView(NamedTuple):
    """A satellite over the horizon, in whole degrees and dB-Hz."""

    prn: int
    elevation_deg: int
    azimuth_deg: int
    snr_dbhz: int | None
    """None where the receiver does not hear it."""


def sentence(body: str) -> str:
    """Return `$body*checksum`: the exclusive or of the characters in between."""
    # Halves of one number laid over each other (a sentence has 82 characters at most): a loop takes thrice as long.
    checksum = int.from_bytes(body.encode("ascii"))
    for shift in (512, 256, 128, 64, 32, 16, 8):
        checksum ^= checksum >> shift
    return f"${body}*{checksum & 0xFF:02X}"


def sentences(
    time_ms: int,
    latitude: float | None,
    longitude: float | None,
    altitude_m: float | None,
    speed_kmh: float | None,
    course_deg: float | None,
    hdop: float,
    satellites: int,
    first_satellite: int,
    in_view: Sequence[InView] = (),
    geoid_m: float = 0.0,
) -> list[str]:
    """Return one epoch. Without a position it is the form without a fix; without an altitude the fix is 2D.

    Of the satellites `in_view` the first `satellites` are used; where none are given, those used are numbered from
    `first_satellite` (1 to 32) on, so that the sky stays the same for a while.
    """
    clock, date = _moment(time_ms)
    if latitude is None or longitude is None:
        return without_fix(time_ms) if not in_view else [*without_fix(time_ms)[:4], *_pages(in_view), _no_place(clock)]
    place = (
        f"{_angle(latitude, 2)},{'N' if latitude >= 0 else 'S'},{_angle(longitude, 3)},{'E' if longitude >= 0 else 'W'}"
    )
    kmh = speed_kmh or 0.0
    knots = f"{kmh / _KMH_PER_KNOT:.3f}"
    course = "" if course_deg is None else f"{course_deg:.2f}"
    height = "" if altitude_m is None else f"{altitude_m:.1f}"
    number = min(satellites, _MOST_IN_GGA)
    if in_view:
        used = ",".join([f"{one.prn:02d}" for one in in_view[:number]] + [""] * (_MOST_IN_GGA - number))
        pages = _pages(in_view)
    else:
        used, pages = _sky(first_satellite, number)
    mode = 2 if altitude_m is None else 3
    return [
        sentence(f"GNRMC,{clock},A,{place},{knots},{course},{date},,,A"),
        sentence(f"GNVTG,{course},T,,M,{knots},N,{kmh:.3f},K,A"),
        sentence(f"GNGGA,{clock},{place},1,{number:02d},{hdop:.2f},{height},M,{geoid_m:.1f},M,,"),
        sentence(f"GNGSA,A,{mode},{used},{','.join(_dilutions(hdop))}"),
        *pages,
        sentence(f"GNGLL,{place},{clock},A,A"),
    ]


def without_fix(time_ms: int) -> list[str]:
    """Return one epoch of a receiver that sees no satellites."""
    clock, date = _moment(time_ms)
    return [
        sentence(f"GNRMC,{clock},V,,,,,,,{date},,,N"),
        sentence("GNVTG,,,,,,,,,N"),
        sentence(f"GNGGA,{clock},,,,,0,00,99.99,,,,,,"),
        sentence(f"GNGSA,A,1{',' * 13}99.99,99.99,99.99"),
        sentence("GPGSV,1,1,00"),
        _no_place(clock),
    ]


def _no_place(clock: str) -> str:
    return sentence(f"GNGLL,,,,,{clock},V,N")


def _pages(in_view: Sequence[InView]) -> list[str]:
    """Return GSV: four satellites a sentence; without a signal where one is not tracked."""
    pages = max(1, -(-len(in_view) // _PER_GSV))
    return [
        sentence(
            f"GPGSV,{pages},{page + 1},{len(in_view):02d}"
            + "".join(
                f",{one.prn:02d},{one.elevation_deg:02d},{one.azimuth_deg:03d},"
                + ("" if one.snr_dbhz is None else f"{one.snr_dbhz:02d}")
                for one in in_view[page * _PER_GSV : (page + 1) * _PER_GSV]
            )
        )
        for page in range(pages)
    ]


def _moment(time_ms: int) -> tuple[str, str]:
    """Return the time of day and date as sentences have them."""
    day, within = divmod(time_ms, 86_400_000)
    clock = f"{within // 3_600_000:02d}{within // 60_000 % 60:02d}{within // 1000 % 60:02d}.{within % 1000 // 10:02d}"
    return clock, _date(day)


@lru_cache(8)
def _date(day: int) -> str:
    """Return the day, month and year of a day since 1970-01-01."""
    return f"{datetime.fromtimestamp(day * 86_400, UTC):%d%m%y}"


@lru_cache(32 * (_MOST_IN_GGA + 1))
def _sky(first: int, number: int) -> tuple[str, list[str]]:
    """Return the satellites used, as GSA has them, and the GSV sentences of every epoch with these satellites."""
    used = [f"{(first - 1 + offset) % 32 + 1:02d}" for offset in range(number)]
    return ",".join(used + [""] * (_MOST_IN_GGA - number)), _in_view(used)


def _in_view(used: list[str]) -> list[str]:
    """Return GSV: four satellites a sentence, with an elevation, azimuth and signal that go with the number."""
    pages = max(1, -(-len(used) // _PER_GSV))
    found = []
    for page in range(pages):
        listed = used[page * _PER_GSV : (page + 1) * _PER_GSV]
        sky = "".join(
            f",{name},{10 + int(name) * 37 % 75:02d},{int(name) * 131 % 360:03d},{22 + int(name) * 17 % 25:02d}"
            for name in listed
        )
        found.append(sentence(f"GPGSV,{pages},{page + 1},{len(used):02d}{sky}"))
    return found


def _angle(degrees: float, width: int) -> str:
    """Write degrees and minutes, dddmm.mmmmm; the minutes never round up to 60."""
    units = round(abs(degrees) * 60 * 100_000)
    whole, minutes = divmod(units, 60 * 100_000)
    return f"{whole:0{width}d}{minutes // 100_000:02d}.{minutes % 100_000:05d}"


def at_another_time(epoch: list[str], time_ms: int) -> list[str]:
    """Return the sentences of an epoch with another time and date in them."""
    clock, date = _moment(time_ms)
    changed = []
    for text in epoch:
        fields = text[1:].partition("*")[0].split(",")
        for place, value in _TIMES_IN.get(fields[0][2:], ()):
            fields[place] = clock if value == "clock" else date
        changed.append(sentence(",".join(fields)))
    return changed


def _dilutions(hdop: float) -> list[str]:
    """Return PDOP, HDOP and VDOP."""
    return [f"{min(hdop * share, 99.99):.2f}" for share in (_PDOP_OF_HDOP, 1.0, _VDOP_OF_HDOP)]


_TIMES_IN = {"RMC": ((1, "clock"), (9, "date")), "GGA": ((1, "clock"),), "GLL": ((5, "clock"),)}
"""Which fields of a sentence are the time and the date; the sentence's own name is field 0."""
