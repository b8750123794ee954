"""Lists what the image ships, as CycloneDX, with the licence of each package: `make sbom`.

python docker/sbom.py build/sbom.cdx.json

Of the packages that are installed beside this Python it takes those that docker/Dockerfile asks for, and what these
need; ends with 1 where one has no licence that `ALLOWED` names.
"""

import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from license_expression import ExpressionError, get_spdx_licensing
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]

ALLOWED = {
    *("MIT", "MIT-0", "MIT-CMU", "ISC", "Zlib", "0BSD", "CC0-1.0", "PSF-2.0", "Python-2.0"),
    *("BSD-2-Clause", "BSD-3-Clause", "Apache-2.0"),
    # What is under it stays so, file by file; ours beside it does not become so.
    "MPL-2.0",
}
"""What may be shipped with a work under Apache-2.0, by its SPDX identifier."""

ALLOWED_FOR = {
    # Imported as it is, and whoever runs ours may put another one in its place.
    "psycopg": {"LGPL-3.0-only"},
    "psycopg-binary": {"LGPL-3.0-only"},
}
"""Package -> what it alone may have."""

FOUND_BY_HAND = {
    # Its METADATA says "3-Clause BSD License", which is no identifier; LICENSE in its wheel is that text.
    "protobuf": "BSD-3-Clause",
}
"""Package -> its licence, where its metadata has none that can be read."""

_CLASSIFIERS = {
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    # Two or three clauses: either is allowed.
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
_EXTRAS = re.compile(r"^ARG EXTRAS=([\w,]+)$", re.MULTILINE)


def shipped_packages() -> set[str]:
    """Return the names of what the image has: what ours needs with the extras of the Dockerfile, and what that needs.

    Raises `PackageNotFoundError` where one is not installed here.
    """
    text = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    found = _EXTRAS.search(text)
    assert found, "docker/Dockerfile installs no extras of this package"
    waiting = [("edgefleet", frozenset(found[1].split(",")))]
    seen: dict[str, frozenset[str]] = {}
    while waiting:
        name, extras = waiting.pop()
        if name in seen and extras <= seen[name]:
            continue
        seen[name] = seen.get(name, frozenset()) | extras
        for text in distribution(name).requires or ():
            needs = Requirement(text)
            if needs.marker is None or any(needs.marker.evaluate({"extra": extra}) for extra in seen[name] | {""}):
                waiting.append((canonicalize_name(needs.name), frozenset(needs.extras)))
    return set(seen)


def make_sbom() -> dict[str, Any]:
    """Return the document: what is installed here, as cyclonedx-bom describes it, without what is not shipped."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", sys.executable, "--output-reproducible"]
    command += ["--pyproject", str(ROOT / "pyproject.toml"), "--of", "JSON", "-o", "-"]
    document: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    shipped = shipped_packages() - {"edgefleet"}
    kept = [one for one in document["components"] if canonicalize_name(one["name"]) in shipped]
    missing = shipped - {canonicalize_name(one["name"]) for one in kept}
    if missing:
        raise PackageNotFoundError(", ".join(sorted(missing)))
    references = {one["bom-ref"] for one in kept} | {document["metadata"]["component"]["bom-ref"]}
    document["components"] = kept
    document["dependencies"] = [
        one | ({"dependsOn": [to for to in one["dependsOn"] if to in references]} if "dependsOn" in one else {})
        for one in document["dependencies"]
        if one["ref"] in references
    ]
    return document


def licences(component: dict[str, Any]) -> list[str]:
    """Return the licences of a package, each an SPDX expression or what its metadata says in its place."""
    found = [
        one.get("expression") or one["license"].get("id") or _CLASSIFIERS.get(name := one["license"]["name"], name)
        for one in component.get("licenses", ())
    ]
    by_hand = FOUND_BY_HAND.get(canonicalize_name(component["name"]))
    return found or ([by_hand] if by_hand else [])


def is_allowed(component: dict[str, Any]) -> bool:
    """Return whether one of its licences is allowed. Several entries say the same differently: one is enough."""
    allowed = ALLOWED | ALLOWED_FOR.get(canonicalize_name(component["name"]), set())
    return any(_is_met(expression, allowed) for expression in licences(component))


def _is_met(expression: str, allowed: set[str]) -> bool:
    licensing = get_spdx_licensing()
    try:
        parsed = licensing.parse(expression)
    except ExpressionError:
        return False
    # True where what is allowed alone makes the expression true.
    values = {symbol: licensing.TRUE if str(symbol) in allowed else licensing.FALSE for symbol in parsed.symbols}
    return bool(parsed.subs(values).simplify() == licensing.TRUE)


def main() -> int:
    """Write the document, and say what is in it."""
    target = Path(sys.argv[1])
    document = make_sbom()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    refused = [one for one in document["components"] if not is_allowed(one)]
    print(f"{target}: {len(document['components'])} packages, {len(refused)} without a licence that is allowed")
    for one in refused:
        print(f"  {one['name']} {one['version']}: {', '.join(licences(one)) or 'none is named'}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
