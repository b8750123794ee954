"""Compiles the parts of a message's way that are pure Python and take most of its time, where that is asked for.

`EDGEFLEET_COMPILED=1 pip install .` has mypyc make extension modules of `COMPILED`, beside their sources, which other
builds and a checkout run. Nothing else differs: the sources are the same, and what has no compiled form is what it was.
It is a wheel of one platform and one version of Python then.
"""

import os
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ASKED_BY = "EDGEFLEET_COMPILED"
# No pydantic models, whose classes have to be Python's own; no errors and no tuples with names, which gain nothing; no
# client of a device, as its tests stand in for what it talks to.
COMPILED = (
    "devices/firmware/firmware.py",
    "devices/firmware/outbox.py",
    "devices/firmware/parts.py",
    "edgewire/link/protocol.py",
    "edgewire/mqtt/codec.py",
    "edgewire/mqtt/decode.py",
    "edgewire/mqtt/encode.py",
    "edgewire/mqtt/filters.py",
    "edgewire/mqtt/framing.py",
    "edgewire/mqtt/inbound_qos.py",
    "edgewire/mqtt/keepalive.py",
    "edgewire/mqtt/limits.py",
    "edgewire/mqtt/outbound_qos.py",
    "edgewire/mqtt/session.py",
)
# Beside those of pyproject.toml. What only `make lint` has, such as stubs of packages that have none, is not needed to
# compile, nor are the types of modules that are not compiled.
OPTIONS = ("--follow-imports=silent", "--ignore-missing-imports")
# -O3 takes the C compiler three times as long, and 2 GB.
OPTIMIZATION = "1"


class CompiledBuildHook(BuildHookInterface[Any]):
    """Adds the extension modules to a wheel that is to have them."""

    def dependencies(self) -> list[str]:
        """Return what compiling needs, types of the project's own requirements included: nothing if not asked for."""
        return ["mypy[mypyc]>=2.4", *self.metadata.core.dependencies] if _is_asked_for() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, before the wheel is put together; an editable one stays Python, to be edited."""
        if version != "standard" or not _is_asked_for():
            return
        self._folder = TemporaryDirectory()
        for module in compile_modules(Path(self.root), Path(self._folder.name)):
            build_data["force_include"][str(module)] = str(module.relative_to(Path(self._folder.name) / "lib"))
        build_data["infer_tag"] = True
        build_data["pure_python"] = False

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what is in the wheel now."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()


def compile_modules(root: Path, folder: Path) -> list[Path]:
    """Compile `COMPILED` into `lib` of the folder, and return what is there: nothing is written beside the sources."""
    from mypyc.build import mypycify
    from setuptools import Distribution

    before = Path.cwd()
    os.chdir(root)
    try:
        extensions = mypycify(
            [*OPTIONS, f"--cache-dir={folder / 'mypy'}", *COMPILED],
            opt_level=OPTIMIZATION,
            debug_level="0",
            target_dir=str(folder / "c"),
            group_name="edgefleet",
        )
        built = Distribution({"name": "edgefleet", "ext_modules": extensions}).get_command_obj("build_ext")
        built.build_lib, built.build_temp = str(folder / "lib"), str(folder / "objects")
        built.ensure_finalized()
        built.run()
    finally:
        os.chdir(before)
    return sorted((folder / "lib").rglob(f"*{sysconfig.get_config_var('EXT_SUFFIX')}"))


def _is_asked_for() -> bool:
    return os.environ.get(ASKED_BY, "") not in ("", "0")
