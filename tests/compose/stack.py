"""The running containers, and the compose commands that the tests give."""

import json
import subprocess
import urllib.request
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ComposeStack:
    """`compose` is the command up to its verb; `ports` are those on this machine."""

    compose: list[str]
    ports: dict[str, int]

    @property
    def ingest_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['INGEST_PORT']}"

    @property
    def bridge_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['BRIDGE_PORT']}"

    def run(self, *arguments: str) -> str:
        """One compose command; its standard output."""
        result = subprocess.run([*self.compose, *arguments], capture_output=True, text=True, timeout=180)
        assert result.returncode == 0, f"{' '.join(arguments)}: {result.stdout}{result.stderr}"
        return result.stdout

    def stored(self) -> dict[str, int]:
        """Messages of each kind that the ingest service has."""
        with urllib.request.urlopen(f"{self.ingest_url}/stats", timeout=10) as answer:
            kinds: dict[str, Any] = json.load(answer)["kinds"]
        return {kind: counts["stored"] for kind, counts in kinds.items()}
