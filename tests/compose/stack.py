"""The running containers, the compose commands that the tests give, and a client that comes from outside."""

import csv
import io
import json
import queue
import subprocess
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

ANSWER_S = 60


@dataclass(frozen=True)
class ComposeStack:
    """`compose` is the command up to its verb; `ports` are those on this machine; `folder` is for credentials."""

    compose: list[str]
    ports: dict[str, int]
    folder: Path

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

    def secret(self, path: str) -> str:
        """What is in a file below `/secrets`, as the service sees it that makes them."""
        return self.run("run", "--rm", "--no-deps", "-T", "--entrypoint", "cat", "secrets", f"/secrets/{path}")

    @cached_property
    def ca_file(self) -> Path:
        """The certificate that clients trust."""
        path = self.folder / "ca.crt"
        path.write_text(self.secret("people/ca.crt"))
        return path

    @cached_property
    def passwords(self) -> dict[str, str]:
        """User -> password at the broker, of all."""
        rows = csv.DictReader(io.StringIO(self.secret("fleet/identities/credentials.csv")))
        return {row["username"]: row["password"] for row in rows}

    @cached_property
    def ingest_token(self) -> str:
        """The token of the ingest."""
        return self.secret("people/ingest-token").strip()

    def stored(self) -> dict[str, int]:
        """Messages of each kind that the ingest service has."""
        request = urllib.request.Request(
            f"{self.ingest_url}/stats", headers={"Authorization": f"Bearer {self.ingest_token}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            kinds: dict[str, Any] = json.load(answer)["kinds"]
        return {kind: counts["stored"] for kind, counts in kinds.items()}

    def publish(self, port: str, user: str | None, password: str | None, *topics: str) -> list[str]:
        """What the broker answers to a CONNECT, and then to a PUBLISH of QoS 1 to each topic: names of reason codes."""
        answers: queue.Queue[str] = queue.Queue()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="outside", protocol=mqtt.MQTTv5)
        client.tls_set(str(self.ca_file))
        client.username_pw_set(user, password)

        def on_connect(
            _client: mqtt.Client, _data: Any, _flags: Any, code: ReasonCode, _given: Properties | None
        ) -> None:
            answers.put(str(code))

        def on_publish(_client: mqtt.Client, _data: Any, _mid: int, code: ReasonCode, _given: Properties) -> None:
            answers.put(str(code))

        client.on_connect, client.on_publish = on_connect, on_publish
        client.connect("127.0.0.1", self.ports[port], keepalive=ANSWER_S)
        client.loop_start()
        try:
            found = [answers.get(timeout=ANSWER_S)]
            for topic in topics if found == ["Success"] else ():
                client.publish(topic, b"{}", qos=1)
                found.append(answers.get(timeout=ANSWER_S))
            return found
        finally:
            client.disconnect()
            client.loop_stop()
