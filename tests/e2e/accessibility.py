"""Judges a page by axe-core, which npm has: what keeps people from reading or using it."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

VERSION = "4.14.1"
GRAVE = {"serious", "critical"}
_RUN = "const [options, done] = arguments; axe.run(document, options).then((found) => done(found.violations))"


def load_axe(cache: Path) -> str | None:
    """Return axe-core, from the cache or from npm; None where it cannot be had."""
    script = cache / "node_modules" / "axe-core" / "axe.min.js"
    npm = shutil.which("npm")
    if not script.exists() and npm is not None:
        command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(cache)]
        subprocess.run([*command, f"axe-core@{VERSION}"], check=False, capture_output=True, timeout=60)
    return script.read_text() if script.exists() else None


def grave_violations(driver: Any, axe: str, scheme: str, *rules: str) -> list[str]:
    """Return what axe finds serious or critical, in light or dark; of all rules, or of some."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    driver.execute_script(axe)
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = {"type": "rule", "values": rules}
    found = driver.execute_async_script(_RUN, options)
    return [f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in GRAVE]
