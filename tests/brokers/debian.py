"""Programs of other releases of Debian, unpacked into the cache folder with all libraries that they need."""

import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from edgewire.errors import ServiceUnavailable
from tests.services.kafka import cache_folder, keep_in_cache

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def debian_program(package: str, release: str, program: str) -> Path:
    """Return a program, by its path in a package, as a release has it now, or had it when it was unpacked here.

    It is loaded by the release's own loader and libc, as it would not run with an older one. Packages come from the
    archive that this machine's apt is set up for, signatures are checked, and nothing is installed. Raises
    `ServiceUnavailable` where this machine has no Debian.
    """
    kept = cache_folder() / f"{package}-{release}"
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as name:
            folder, tree = Path(name), Path(name, "tree")
            for archive in _downloaded(package, release, folder):
                _run("dpkg-deb", "--extract", str(archive), str(tree))
            _write_starter(tree / program, _found(tree, "libc.so.6").parent, tree)
            keep_in_cache(tree, kept)
    return kept / "bin" / Path(program).name


def _downloaded(package: str, release: str, folder: Path) -> list[Path]:
    """Have apt fetch a package and what it depends on, as onto a machine on which nothing is installed."""
    if not _KEYRING.exists():
        raise ServiceUnavailable(f"{package} of Debian's '{release}' is unpacked on a Debian alone")
    targets = _run(
        "apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Component: main", "Label: Debian"
    )
    if not targets:
        raise ServiceUnavailable("apt knows no archive of Debian: `apt-get update`, or look at /etc/apt/sources.list")
    sources, status = folder / "sources.list", folder / "status"
    sources.write_text(f"deb [signed-by={_KEYRING}] {targets.split()[0]} {release} main\n")
    status.touch()
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True)
    settings = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::State::Status": status,
        "Dir::Cache": folder,
        "Acquire::Languages": "none",
        # Its usual user may not write into a folder of ours.
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-qq", *(f"--option={key}={value}" for key, value in settings.items())]
    _run(*apt, "update")
    _run(*apt, "--yes", "--no-install-recommends", "--download-only", "install", package)
    return sorted((folder / "archives").glob("*.deb"))


def _write_starter(program: Path, libraries: Path, tree: Path) -> None:
    """Write what starts the program, wherever the tree is moved to, and becomes its process."""
    _run("ldconfig", "-n", str(libraries))
    loader = _found(tree, "ld-linux*.so.*")
    paths = ['"$tree"/' + shlex.quote(str(one.relative_to(tree))) for one in (loader, libraries, program)]
    starter = tree / "bin" / program.name
    starter.parent.mkdir()
    starter.write_text(
        '#!/bin/sh\ntree=$(dirname "$(dirname "$(readlink -f "$0")")")\n'
        f'exec {paths[0]} --library-path {paths[1]} {paths[2]} "$@"\n'
    )
    starter.chmod(0o755)


def _found(tree: Path, name: str) -> Path:
    return next(path for path in sorted(tree.rglob(name)) if path.is_file() and "gconv" not in path.parts)


def _run(*command: str) -> str:
    program = shutil.which(command[0]) or shutil.which(command[0], path="/usr/sbin:/sbin")
    if program is None:
        raise ServiceUnavailable(f"there is no {command[0]}, which is Debian's")
    done = subprocess.run(
        [program, *command[1:]], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600, check=False
    )
    if done.returncode:
        raise ServiceUnavailable(f"`{command[0]}` failed: {done.stderr.strip()[-1000:]}")
    return done.stdout
