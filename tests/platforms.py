"""Whether pip finds wheels of all we need for other systems than this one: `python -m tests.platforms`.

It asks the package index that pip is set up with, so it is no part of the suite; `tests/test_platforms.py` checks what
each system is asked to install. pip evaluates markers for the system it runs on: here they are evaluated before.
"""

import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Platform:
    """A system, as pip names its wheels and markers describe it."""

    name: str
    tags: tuple[str, ...]
    sys_platform: str
    machine: str
    extras: tuple[str, ...]
    """What is installed there beside the base: as much as has wheels."""
    from_system: tuple[str, ...] = ()
    """What has no wheel for it, and comes from the distribution or an index of its own."""


PLATFORMS = (
    Platform("Linux, glibc", ("manylinux_2_28_x86_64", "manylinux2014_x86_64"), "linux", "x86_64", ("demo", "export")),
    Platform(
        "Linux on ARM", ("manylinux_2_28_aarch64", "manylinux2014_aarch64"), "linux", "aarch64", ("demo", "export")
    ),
    Platform("Alpine (musl)", ("musllinux_1_2_x86_64", "musllinux_1_1_x86_64"), "linux", "x86_64", ("amqtt",)),
    Platform(
        "32-bit ARM",
        ("manylinux_2_31_armv7l", "manylinux_2_28_armv7l", "manylinux2014_armv7l"),
        "linux",
        "armv7l",
        (),
        # piwheels has them, which Raspberry Pi OS asks by itself; or apt-get install python3-numpy.
        ("numpy", "pyyaml"),
    ),
    Platform("macOS", ("macosx_14_0_arm64",), "darwin", "arm64", ("demo", "export")),
    Platform("Windows", ("win_amd64",), "win32", "AMD64", ("demo", "export")),
)


def wanted(platform: Platform, extras: tuple[str, ...] = ()) -> list[Requirement]:
    """Return what `pip install edgefleet[extras]` asks for there, our own extras resolved."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    environment = {
        "sys_platform": platform.sys_platform,
        "platform_machine": platform.machine,
        "os_name": "nt" if platform.sys_platform == "win32" else "posix",
    }
    found = []
    for line in (*project["dependencies"], *(line for one in extras for line in project["optional-dependencies"][one])):
        requirement = Requirement(line)
        if requirement.name == project["name"]:
            found += [one for one in wanted(platform, tuple(requirement.extras)) if one not in found]
        elif requirement.marker is None or requirement.marker.evaluate(environment):
            requirement.marker = None
            found.append(requirement)
    return list({str(one): one for one in found}.values())


def resolve(platform: Platform) -> str | None:
    """Return why pip finds no wheels for a system; None where it does."""
    needed = [one for one in wanted(platform, platform.extras) if one.name not in platform.from_system]
    tags = [f"--platform={tag}" for tag in platform.tags]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*(sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--disable-pip-version-check"),
             *("--ignore-installed", "--only-binary=:all:", f"--target={folder}"), *tags, *map(str, needed)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def main() -> int:
    """Print a line for each system; return 1 where one of them fails."""
    failed = False
    for platform in PLATFORMS:
        why = resolve(platform)
        failed |= why is not None
        extras = f"[{','.join(platform.extras)}]" if platform.extras else ""
        without = f" without {', '.join(platform.from_system)}" if platform.from_system else ""
        print(f"{platform.name}: edgefleet{extras}{without}: {why or 'wheels of everything'}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
