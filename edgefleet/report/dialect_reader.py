"""Reads messages of other makers' devices for people who look at a broker."""

from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ValidationError
from rich.text import Text

from edgewire.clock import iso_ms
from edgewire.config_errors import closest
from edgewire.dialects.base import Arrival, DialectError, DialectMessage, MessageRole, TimeSource, Value
from edgewire.dialects.registry import DIALECTS
from edgewire.errors import ConfigError
from edgewire.http_answer import one_printable_line

_LONGEST_SHOWN = 120
_STYLES = {True: "green", False: "red"}


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """Holds what was read of a message, or why it could not be read."""

    topic: str
    payload: bytes
    is_retained: bool
    found: DialectMessage | None
    problem: str = ""

    def line(self, now_ms: int) -> Text:
        """Return one line for it."""
        mark = ("R " if self.is_retained else "  ", "bold")
        found = self.found
        if found is None:
            topic, problem = one_printable_line(self.topic), one_printable_line(self.problem)
            return Text.assemble(mark, (topic, "red"), f"  {self.payload[:_LONGEST_SHOWN]!r}  {problem}")
        age = "–" if found.time_source is TimeSource.ARRIVAL else age_text(now_ms - found.time_ms)
        online = found.values.get("online")
        style = _STYLES[online] if found.role is MessageRole.AVAILABILITY and isinstance(online, bool) else ""
        parts = {"": found.values, **found.parts} if found.values or not found.parts else found.parts
        values = "  ".join(
            f"{one_printable_line(name)}: {_shown(inner)}" if name else _shown(inner) for name, inner in parts.items()
        )
        remarks = f"  ({one_printable_line('; '.join(found.remarks))})" if found.remarks else ""
        device = one_printable_line(found.device_id)
        return Text.assemble(
            mark, f"{device:<20} {found.role.value:<12}", (f"{age:>8}  ", "dim"), (values + remarks, style)
        )

    def as_json(self) -> dict[str, object]:
        """Return it as `--json` prints it."""
        told: dict[str, object] = {"topic": self.topic, "retained": self.is_retained}
        found = self.found
        if found is None:
            return told | {"error": self.problem, "payload": self.payload.decode(errors="replace")}
        told |= {"device": found.device_id, "role": found.role.value, "time": iso_ms(found.time_ms)}
        told |= {"time_source": found.time_source.value, "values": dict(found.values)}
        if found.parts:
            told["parts"] = {name: dict(inner) for name, inner in found.parts.items()}
        if found.extra:
            told["other"] = dict(found.extra)
        return told | ({"remarks": list(found.remarks)} if found.remarks else {})


class DialectReader:
    """Reads the messages of one dialect as the bridge does."""

    def __init__(self, name: str, timezone: str | None = None) -> None:
        """Raises `ConfigError` for a dialect or a zone that there is not."""
        if name not in DIALECTS:
            names = ", ".join(DIALECTS)
            raise ConfigError(f"there is no dialect '{name}'{closest(name, DIALECTS)}; there are {names}")
        dialect = DIALECTS[name]
        try:
            self._decoder = dialect.decoder(dialect.options())
        except (DialectError, ValidationError) as error:
            raise ConfigError(f"{name}: {error}") from None
        try:
            self._zone = None if timezone is None else ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ConfigError(f"there is no zone '{timezone}': Europe/Berlin is one") from None

    def read(self, topic: str, payload: bytes, *, retained: bool, now_ms: int) -> ReadMessage:
        """Return what a message says."""
        try:
            found = self._decoder.decode(topic, payload, Arrival(now_ms, retained, self._zone))
        except DialectError as error:
            return ReadMessage(topic, payload, retained, None, str(error))
        return ReadMessage(topic, payload, retained, found)


def age_text(age_ms: float) -> str:
    """Return how long ago something was, for people."""
    seconds = age_ms / 1000
    if abs(seconds) < 100:
        return f"{seconds:.2f} s"
    return f"{seconds / 60:.0f} min" if abs(seconds) < 6000 else f"{seconds / 3600:.0f} h"


def _shown(values: Mapping[str, Value]) -> str:
    return "  ".join(one_printable_line(f"{name} {value}") for name, value in values.items())
