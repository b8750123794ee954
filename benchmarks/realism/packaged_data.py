"""Where installed packages have their data: real readings come as files of wheels, and nothing is fetched."""

from importlib.util import find_spec
from pathlib import Path


def data_of(package: str, folder: str = "data") -> Path:
    """Return the folder with the files of a package, which is not imported; raises `ImportError` without it."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ImportError(f"the package {package} is missing: pip install 'edgefleet[realism]'")
    return Path(found.submodule_search_locations[0]) / folder
