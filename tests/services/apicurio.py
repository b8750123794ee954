"""A real schema registry with Confluent's API: Apicurio, as a process, from Maven Central.

`python -m tests.services.apicurio` fetches it (140 MB, once, kept in the cache of Maven) and prints its folder.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from edgefleet.embedded import Server, free_port, temporary_folder
from edgewire.errors import EdgefleetError, ServiceUnavailable
from tests.services.kafka import cache_folder, keep_in_cache

_VERSION = "2.6.13.Final"
"""The last that Java 17 runs."""
_GET = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
_ARTIFACT = f"io.apicurio:apicurio-registry-app:{_VERSION}:tar.gz:all"
_JVM = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]


def apicurio_folder() -> Path:
    """Return the unpacked registry. Raises `ServiceUnavailable` where it cannot be fetched or run."""
    folder = cache_folder() / f"apicurio-{_VERSION}"
    for program in ("java", *(() if folder.is_dir() else ("mvn",))):
        if shutil.which(program) is None:
            raise ServiceUnavailable(
                f"a schema registry needs `{program}`: `apt-get install openjdk-17-jre-headless maven`"
            )
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        result = subprocess.run(
            ["mvn", "-B", "-q", _GET, f"-Dartifact={_ARTIFACT}", f"-DoutputDirectory={place}"],
            capture_output=True,
            text=True,
            timeout=600,
            cwd=place,
        )
        packed = next(Path(place).glob("*.tar.gz"), None)
        if result.returncode != 0 or packed is None:
            raise ServiceUnavailable(f"Maven could not fetch {_ARTIFACT}: {result.stdout.strip()[-2000:]}")
        unpacked = Path(place) / "unpacked"
        with tarfile.open(packed) as archive:
            archive.extractall(unpacked, filter="data")
        keep_in_cache(unpacked, folder)
    return folder


class ApicurioProcess(Server):
    """One registry on loopback, whose schemas are gone when it ends."""

    def __init__(self) -> None:
        """Find the registry. Raises `ServiceUnavailable`."""
        program, port = apicurio_folder(), free_port()
        runner = program / f"apicurio-registry-app-{_VERSION}-runner.jar"
        where = [f"-Dquarkus.http.port={port}", "-Dquarkus.http.host=127.0.0.1"]
        command: list[str | Path] = ["java", *_JVM, *where, "-jar", runner]
        folder = temporary_folder("apicurio")
        super().__init__("apicurio", command, port=port, ready=self._serves, folder=folder, start_timeout_s=120)
        self.url = f"http://{self.host}:{port}/apis/ccompat/v7"

    def _serves(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/schemas/types", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


if __name__ == "__main__":
    try:
        print(apicurio_folder())
    except EdgefleetError as error:
        sys.exit(str(error))
