"""Reads Home Assistant's templates where they name one value: a path into a payload, and at most a step of arithmetic.

Templates are programs (Jinja); what does more than that is told, and not run.
"""

import re
from typing import NamedTuple

from edgewire.dialects.values import Path, shown

Scale = tuple[float, float]
"""Factor and offset that a template applies to a number."""
AS_IT_IS: Scale = (1, 0)
WHOLE = -1
"""In the place of decimals: what is behind the point is cut off."""


class ValueTemplate(NamedTuple):
    """Says what a template makes of a payload."""

    path: Path | None
    """Where the value stands in JSON; None where the payload is the value."""
    scale: Scale = AS_IT_IS
    problem: str = ""
    """Why it cannot be read; empty where it can."""
    decimals: int | None = None
    """To which the number is rounded at the end; None where it is not."""


_PATH_TEXT = (
    r"value(_json)?((?:\.get\(\s*(?:'[^']*'|\"[^\"]*\")\s*\)|\.[A-Za-z_]\w*|\[\s*(?:'[^']*'|\"[^\"]*\"|\d{1,4})\s*\])*)"
)
_STEP = re.compile(
    r"\.get\(\s*(?:'([^']*)'|\"([^\"]*)\")\s*\)|\.([A-Za-z_]\w*)|\[\s*(?:'([^']*)'|\"([^\"]*)\"|(\d+))\s*\]"
)
_FILTERS_TEXT = r"(?:\s*\|\s*(?:float|int|round|is_defined|string|default)(?:\([^()]{0,20}\))?)*"
_TEMPLATE = re.compile(
    rf"\(*\s*{_PATH_TEXT}{_FILTERS_TEXT}\s*\)*(?:\s*([*/+-])\s*(\d{{1,9}}(?:\.\d{{1,9}})?)\s*\)*)?{_FILTERS_TEXT}\s*"
)
"""A path with filters that leave its value as it is, or one step of arithmetic with a constant."""


_NO_VALUE = r"(?:''|\"\"|[Nn]one|'(?:None|unknown|unavailable)'|\"(?:None|unknown|unavailable)\")"
_GUARD = re.compile(rf"\s+if\s[^{{}}|]{{1,900}}\sis defined\s+else\s+{_NO_VALUE}$")
"""What passes over messages that have no such value: there the template gives an empty text or none."""
_BLOCK = re.compile(
    r"\{%-?\s*if\s(?P<condition>[^{}%]{1,400})\s*-?%\}\s*(?P<value>\{\{[^{}]{1,400}\}\})\s*"
    rf"(?:\{{%-?\s*else\s*-?%\}}\s*(?:\{{\{{\s*{_NO_VALUE}\s*\}}\}})?\s*)?\{{%-?\s*endif\s*-?%\}}"
)
"""The same as a block."""
_HAS_VALUE = re.compile(
    r"(?:value_json[\w.\[\]'\"]*\s+is\s+defined|['\"][^'\"]{1,100}['\"]\s+in\s+value_json[\w.]*)\s*"
)
_ROUNDED = re.compile(r"\|\s*(?:round(?:\(\s*(\d?)\s*\))?|(int)(?:\([^()]*\))?)\s*(?=[|)]|$)")


def read_template(text: str) -> ValueTemplate:
    """Return what a template makes of a payload, and why it cannot be read where it does more than naming a value."""
    if not text:
        return ValueTemplate(None)
    inner = text.strip()
    if len(inner) < 1000 and (block := _BLOCK.fullmatch(inner)) and _HAS_VALUE.fullmatch(block["condition"]):
        inner = block["value"]
    found = None
    if inner.startswith("{{") and inner.endswith("}}") and inner.count("(") == inner.count(")") and len(inner) < 1000:
        inner = _GUARD.sub("", inner[2:-2].strip().strip("-").strip())
        found = _TEMPLATE.fullmatch(inner)
    if not found:
        return ValueTemplate(None, problem=f"template {shown(text)} is more than one value")
    steps = tuple(
        int(step[6]) if step[6] else next((one for one in step.groups() if one is not None), "")
        for step in _STEP.finditer(found[2])
    )
    # What is rounded before a step of arithmetic is taken as it is.
    rounded = _ROUNDED.findall(inner, found.end(4) if found[3] else 0)
    decimals = None if not rounded else WHOLE if rounded[-1][1] else int(rounded[-1][0] or 0)
    return ValueTemplate(steps if found[1] else None, _scale(found[3], found[4]), "", decimals)


def _scale(operator: str | None, constant: str | None) -> Scale:
    if operator is None or constant is None:
        return AS_IT_IS
    by = float(constant)
    if operator in "+-":
        return 1, by if operator == "+" else -by
    return (by if operator == "*" else 1 / by if by else 1), 0
