"""Makes what the services of docker-compose.yml know of one another, and gives each a folder with its part of it alone.

    make_secrets.py SCENARIO [FOLDER]        run by the service `secrets` as /secrets; what is there stays as it is

| folder | whose | what |
|---|---|---|
| fleet | the devices | `identities`, as `edgefleet provision` writes them, and what `verify` needs to read both sinks |
| broker | Mosquitto | what mosquitto/secured.conf names: its certificate, whom it trusts, passwords, rights |
| kafka | Kafka | its certificate, and the password of its only user |
| bridge | the bridge | passwords, tokens, and whom it trusts |
| ingest | the ingest | its token |
| people | you | the same as an operator, to be taken out with `make credentials` |

A service has the volume of its own folder, and cannot read those of others.
"""

import csv
import json
import os
import secrets
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from edgefleet.provision import BRIDGE, OPERATOR
from edgefleet.provision.authority import Authority
from edgewire.errors import EdgefleetError
from edgewire.output import write_output

HOSTS = ("localhost", "127.0.0.1", "::1")
"""By which this machine reaches them, besides the names of the services."""
KAFKA_USER = "edgefleet"
OF_BROKER = ("acl", "broker.pem", "clients-ca.crt", "passwords", "service-ca.crt", "service-passwords")

_DAYS = 365
_READABLE = 0o640
"""The services that are not ours have another user; they are in the group of ours, and each has one of the folders."""


def make(scenario: Path, folder: Path) -> None:
    """Write all folders, and make what is missing in them. Raises `CalledProcessError`, `OSError`, `EdgefleetError`."""
    identities = folder / "fleet" / "identities"
    hosts = [argument for host in ("mosquitto", *HOSTS) for argument in ("--host", host)]
    edgefleet = Path(sys.executable).with_name("edgefleet")
    subprocess.run([edgefleet, "provision", scenario, "--out", identities, *hosts], check=True)
    for name in OF_BROKER:
        _write(folder / "broker" / name, (identities / name).read_bytes())
    with (identities / "credentials.csv").open(newline="", encoding="utf-8") as file:
        passwords = {row["username"]: row["password"] for row in csv.DictReader(file)}
    ingest, admin, kafka = (_kept(folder / "people" / f"{name}-{kind}") for name, kind in _OURS)
    now = datetime.now(UTC)
    certificate = Authority.open(identities, now).issue_server(["kafka", *HOSTS], now, _DAYS)
    _write(folder / "kafka" / "kafka.pem", certificate)
    _write(folder / "kafka" / "clients.properties", f"password={kafka}\n".encode())
    _write(folder / "ingest" / "token", f"{ingest}\n".encode())
    trusted = (identities / "ca.crt").read_bytes()
    outside = f"127.0.0.1:{os.environ.get('KAFKA_PORT') or 9092}"
    for place in ("fleet", "bridge", "people"):
        properties = _kafka_properties(kafka, "ca.crt" if place == "people" else "/secrets/ca.crt")
        cluster = {"bootstrap_servers": outside if place == "people" else "kafka:19092"}
        _write(folder / place / "ca.crt", trusted)
        _write(folder / place / "ingest-token", f"{ingest}\n".encode())
        _write(folder / place / "kafka.yaml", json.dumps(cluster | {"properties": properties}).encode() + b"\n")
    _write(folder / "bridge" / "kafka-properties", json.dumps(_kafka_properties(kafka, "/secrets/ca.crt")).encode())
    for place, name in (("bridge", BRIDGE), ("people", OPERATOR)):
        _write(folder / place / "mqtt-password", f"{passwords[name]}\n".encode())
        _write(folder / place / "admin-token", f"{admin}\n".encode())


_OURS = (("ingest", "token"), ("admin", "token"), ("kafka", "password"))


def _kafka_properties(password: str, ca_file: str) -> dict[str, str]:
    return {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": KAFKA_USER,
        "sasl.password": password,
        "ssl.ca.location": ca_file,
    }


def _kept(path: Path) -> str:
    """Return the secret of a file, which is made where it is missing."""
    if not path.exists():
        _write(path, f"{secrets.token_urlsafe(32)}\n".encode())
    return path.read_text(encoding="utf-8").strip()


def _write(path: Path, content: bytes) -> None:
    write_output(path, content, mode=_READABLE)


if __name__ == "__main__":
    try:
        make(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "/secrets"))
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # it has said why
    except (OSError, EdgefleetError) as error:
        sys.exit(f"make_secrets: {error}")
