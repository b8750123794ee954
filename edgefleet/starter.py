"""Finds what comes with the package for a user to begin with: scenarios, a bridge's file, dashboards and alarm rules.

In an installed package they are in `starter_files/` beside this file, in a checkout at its top; in both under the names
that the documents use.
"""

from pathlib import Path

from edgewire.errors import ConfigError

SCHEMAS = "schemas"
"""Folder of the JSON Schemas by which an editor checks the two kinds of files."""
_DASHBOARDS = ("deploy/grafana", "deploy/prometheus")


def starter_folder() -> Path:
    """Return the folder in which they are."""
    installed = Path(__file__).with_name("starter_files")
    return installed if installed.exists() else Path(__file__).parents[1]


def scenario_names() -> list[str]:
    """Return the names of the scenarios that come with the package."""
    return sorted(path.stem for path in (starter_folder() / "scenarios").glob("*.yaml"))


def scenario_path(path: Path) -> Path:
    """Return the file of a scenario: the one at this path, else that of the packaged scenario of this name.

    A file always wins, a folder of that name does not. Where there is nothing and one of ours may be meant,
    `ConfigError` says how it is had.
    """
    text = str(path)
    if path.exists() and not path.is_dir():
        return path
    if text in scenario_names():
        return starter_folder() / "scenarios" / f"{text}.yaml"
    if path.exists():
        return path
    if path.suffix in (".yaml", ".yml") and path.stem in scenario_names():
        raise ConfigError(
            f"{text}: no such file; `{path.stem}` without folder and ending is the scenario that comes with edgefleet,"
            " and `edgefleet init` writes it and the others into a folder"
        )
    if not path.suffix and len(path.parts) == 1:
        raise ConfigError(
            f"{text}: no such file, and no scenario of that name comes with edgefleet: {', '.join(scenario_names())}"
        )
    return path


def starter_files(scenario: str | None = None) -> dict[str, str]:
    """Return the files that `edgefleet init` writes: path in the folder -> text; of the scenarios all, or this one.

    Raises `ConfigError` for a scenario that there is not.
    """
    names = scenario_names()
    if scenario is not None and scenario not in names:
        raise ConfigError(f"--scenario: there is no '{scenario}'; there are {', '.join(names)}")
    top = starter_folder()
    found = {
        f"scenarios/{name}.yaml": _with_schema(top / "scenarios" / f"{name}.yaml", f"../{SCHEMAS}/scenario.schema.json")
        for name in ([scenario] if scenario else names)
    }
    found["bridge.yaml"] = _with_schema(top / "bridge.yaml", f"{SCHEMAS}/bridge.schema.json")
    for folder in _DASHBOARDS:
        for path in sorted((top / folder).iterdir()):
            found[f"{folder}/{path.name}"] = path.read_text(encoding="utf-8")
    return found


def _with_schema(path: Path, schema: str) -> str:
    """Return a YAML file with the line by which an editor knows what may stand in it."""
    return f"# yaml-language-server: $schema={schema}\n{path.read_text(encoding='utf-8')}"


def write_files(folder: Path, files: dict[str, str], *, overwrite: bool = False) -> list[str]:
    """Write files below a folder and return the paths of those that were not there as they are.

    What is there and says something else is left alone unless `overwrite`: then nothing is written, and `ConfigError`
    names it. It is raised too for what cannot be written.
    """
    from edgewire.output import require_file, write_output

    try:
        changed = {name: text for name, text in files.items() if not _says(folder / name, text)}
        if in_the_way := [name for name in changed if (folder / name).exists() or (folder / name).is_symlink()]:
            if not overwrite:
                raise ConfigError(
                    f"{folder}: {', '.join(in_the_way)} {'is' if len(in_the_way) == 1 else 'are'} there already and"
                    " would be overwritten: nothing was written; choose another folder, or --force"
                )
            for name in in_the_way:
                require_file(folder / name)
        for name, text in changed.items():
            write_output(folder / name, text.encode())
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: cannot be written: {error.strerror}") from None
    return list(changed)


def _says(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()
