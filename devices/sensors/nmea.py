"""NMEA 0183 sentences as a u-blox receiver emits them each epoch: RMC, VTG, GGA, GSA, GSV, GLL.

Talker GN for what is of several systems, GP for the satellites in view; minutes with five decimals; the course is
empty when slow; GGA counts twelve satellites at most.
"""

from datetime import UTC, datetime

_MOST_IN_GGA = 12
_PER_GSV = 4
_KMH_PER_KNOT = 1.852
_PDOP_OF_HDOP, _VDOP_OF_HDOP = 1.8, 1.5


def sentence(body: str) -> str:
    """`$body*checksum`: the exclusive or of the characters in between."""
    checksum = 0
    for character in body.encode("ascii"):
        checksum ^= character
    return f"${body}*{checksum:02X}"


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
) -> list[str]:
    """One epoch. Without a position it is the form without a fix; without an altitude the fix is 2D.

    Satellites used are numbered from `first_satellite` (1 to 32) on, so that the sky stays the same for a while.
    """
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    clock, date = f"{moment:%H%M%S}.{time_ms % 1000 // 10:02d}", f"{moment:%d%m%y}"
    if latitude is None or longitude is None:
        return [
            sentence(f"GNRMC,{clock},V,,,,,,,{date},,,N"),
            sentence("GNVTG,,,,,,,,,N"),
            sentence(f"GNGGA,{clock},,,,,0,00,99.99,,,,,,"),
            sentence(f"GNGSA,A,1{',' * 13}99.99,99.99,99.99"),
            sentence("GPGSV,1,1,00"),
            sentence(f"GNGLL,,,,,{clock},V,N"),
        ]
    place = (
        f"{_angle(latitude, 2)},{'N' if latitude >= 0 else 'S'},{_angle(longitude, 3)},{'E' if longitude >= 0 else 'W'}"
    )
    kmh = speed_kmh or 0.0
    knots = f"{kmh / _KMH_PER_KNOT:.3f}"
    course = "" if course_deg is None else f"{course_deg:.2f}"
    height = "" if altitude_m is None else f"{altitude_m:.1f}"
    used = [f"{(first_satellite - 1 + number) % 32 + 1:02d}" for number in range(min(satellites, _MOST_IN_GGA))]
    mode = 2 if altitude_m is None else 3
    dops = f"{min(hdop * _PDOP_OF_HDOP, 99.99):.2f},{hdop:.2f},{min(hdop * _VDOP_OF_HDOP, 99.99):.2f}"
    return [
        sentence(f"GNRMC,{clock},A,{place},{knots},{course},{date},,,A"),
        sentence(f"GNVTG,{course},T,,M,{knots},N,{kmh:.3f},K,A"),
        sentence(f"GNGGA,{clock},{place},1,{len(used):02d},{hdop:.2f},{height},M,0.0,M,,"),
        sentence(f"GNGSA,A,{mode},{','.join(used + [''] * (_MOST_IN_GGA - len(used)))},{dops}"),
        *_in_view(used),
        sentence(f"GNGLL,{place},{clock},A,A"),
    ]


def _in_view(used: list[str]) -> list[str]:
    """GSV: four satellites a sentence, with an elevation, azimuth and signal that go with the number."""
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
    """Degrees and minutes, dddmm.mmmmm; the minutes never round up to 60."""
    units = round(abs(degrees) * 60 * 100_000)
    whole, minutes = divmod(units, 60 * 100_000)
    return f"{whole:0{width}d}{minutes // 100_000:02d}.{minutes % 100_000:05d}"
