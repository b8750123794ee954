"""Says where a run is controlled, in its folder, as long as it goes on; and finds it there."""

from contextlib import suppress
from pathlib import Path

import orjson

from edgewire.errors import ConfigError
from edgewire.output import write_output

ADDRESS_FILE = "control.json"


class AddressFile:
    """Is the file in the folder of one run."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ADDRESS_FILE

    def write(self, url: str) -> None:
        """Write it, whole at once: others wait for it and read it as soon as it is there. Raises `OSError`."""
        write_output(self._path, orjson.dumps({"url": url}) + b"\n")

    def remove(self) -> None:
        """Take it away."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def find_address(target: str) -> str:
    """Return the URL of a run that is named by it, or by the folder of its record. Raises `ConfigError`."""
    if "://" in target:
        if not target.startswith(("http://", "https://")):
            raise ConfigError(f"'{target}' is no URL of a control interface: those begin with http://")
        return target.rstrip("/")
    path = Path(target) / ADDRESS_FILE
    try:
        found = orjson.loads(path.read_bytes())
        return str(found["url"])
    except FileNotFoundError:
        if Path(target).is_dir():
            raise ConfigError(
                f"{target}: no run goes on there that can be controlled: begin it with --control PORT, or name its URL"
            ) from None
        raise ConfigError(f"{target}: is neither a URL, such as http://127.0.0.1:8088, nor a run's folder") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise ConfigError(f"{path}: says no address: name the URL of the control interface") from None
