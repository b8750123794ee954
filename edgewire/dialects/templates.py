"""Reads Home Assistant's templates where they name one value: a path into a payload, and at most a step of arithmetic.

Templates are programs (Jinja); what does more than that is told, and not run.
"""

import re

from edgewire.dialects.values import Path, shown

Scale = tuple[float, float]
"""Factor and offset that a template applies to a number."""
AS_IT_IS: Scale = (1, 0)


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


_GUARD = re.compile(r"\s+if\s[^{}|]{1,900}\sis defined\s+else\s+''$")
"""What passes over messages that have no such value: there the template gives an empty text, which is none."""


def read_template(text: str) -> tuple[Path | None, Scale, str]:
    """Return the path that a template names, what it makes of the number there, and why it cannot be read where it does
    more than that."""
    if not text:
        return None, AS_IT_IS, ""
    inner = text.strip()
    found = None
    if inner.startswith("{{") and inner.endswith("}}") and inner.count("(") == inner.count(")") and len(inner) < 1000:
        found = _TEMPLATE.fullmatch(_GUARD.sub("", inner[2:-2].strip().strip("-").strip()))
    if not found:
        return None, AS_IT_IS, f"template {shown(text)} is more than one value"
    steps = tuple(
        int(step[6]) if step[6] else next((one for one in step.groups() if one is not None), "")
        for step in _STEP.finditer(found[2])
    )
    return (steps if found[1] else None), _scale(found[3], found[4]), ""


def _scale(operator: str | None, constant: str | None) -> Scale:
    if operator is None or constant is None:
        return AS_IT_IS
    by = float(constant)
    if operator in "+-":
        return 1, by if operator == "+" else -by
    return (by if operator == "*" else 1 / by if by else 1), 0
