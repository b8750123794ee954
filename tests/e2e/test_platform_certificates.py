"""Things of AWS IoT and devices of a hub log in with certificates, on a Mosquitto that wants one of each."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from devices.fleet.fleet import Fleet
from devices.scenario.scenario import Scenario
from edgefleet.provision.authority import Authority
from edgefleet.verify import Outcome, verify_run
from edgewire.run_record import RunRecord
from tests.e2e.chain import Chain, running_chain

pytestmark = [pytest.mark.e2e, pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(120)]

THINGS = {"kind": "bme280", "dialect": "aws-iot", "interval": "200ms"}
HUB = {"kind": "traffic", "dialect": {"dialect": "azure-iot", "prefix": "{id}/"}, "interval": "200ms"}
SUBSCRIPTIONS = [
    {"filter": "dt/#", "decode": "aws-iot"},
    {"filter": "+/devices/+/messages/events/#", "decode": "azure-iot"},
]
# The name in its certificate is a client's user name: what it says elsewhere goes to nobody.
ACCESS = """user bridge
topic read #
pattern write dt/edgefleet/default/%u/bme280
pattern write %u/devices/%u/#
pattern readwrite %u/$iothub/#
pattern readwrite $aws/things/%u/#
pattern readwrite $aws/commands/things/%u/#
"""


def issue(folder: Path, *names: str) -> None:
    now = datetime.now(UTC)
    authority = Authority.open(folder, now)
    for name in names:
        (folder / f"{name}.pem").write_bytes(authority.issue_client(name, now, 1))


def secured(folder: Path) -> dict[str, str]:
    """The settings of a broker that wants a certificate of everyone, and lets each speak for itself."""
    now, pem = datetime.now(UTC), folder / "broker.pem"
    pem.write_bytes(Authority.open(folder, now).issue_server(["127.0.0.1"], now, 1))
    (folder / "acl").write_text(ACCESS)
    (folder / "acl").chmod(0o700)
    return {
        "certfile": str(pem),
        "keyfile": str(pem),
        "cafile": str(folder / "ca.crt"),
        "require_certificate": "true",
        "use_identity_as_username": "true",
        "acl_file": str(folder / "acl"),
    }


def scenario(chain: Chain, folder: Path, groups: dict[str, dict[str, Any]], **certificates: str) -> Scenario:
    """Groups whose devices are in a file with a certificate each: its own, or the one named for it."""
    devices = []
    for name, group in groups.items():
        ids = [f"{name}-{number}" for number in (1, 2, 3)]
        rows = [f"{one},{certificates.get(one.replace('-', '_'), one)}.pem" for one in ids]
        (folder / f"{name}.csv").write_text("\n".join(["id,certificate", *rows]) + "\n")
        devices.append({**group, "identities": str(folder / f"{name}.csv")})
    url = f"mqtts://127.0.0.1:{chain.broker.port}"
    return Scenario.model_validate(
        {"broker": url, "ca_file": str(folder / "ca.crt"), "devices": devices, "reconnect": {"cap": "200ms"}}
    )


async def run(wanted: Scenario) -> RunRecord:
    return await Fleet(wanted, name="test").run(2, asyncio.Event())


async def test_each_speaks_for_itself_and_a_wrong_certificate_is_told(tmp_path: Path) -> None:
    issue(tmp_path, "bridge", *(f"{name}-{number}" for name in ("thing", "pump", "odd") for number in (1, 2, 3)))
    stranger = tmp_path / "stranger"
    issue(stranger, "odd-2")
    (tmp_path / "forged.pem").write_bytes((stranger / "odd-2.pem").read_bytes())
    options = secured(tmp_path)
    own = {"ca_file": str(tmp_path / "ca.crt"), "certificate": str(tmp_path / "bridge.pem")}
    chain_options: dict[str, Any] = {"mosquitto": options, "url": "mqtts://", "mqtt": own}
    with running_chain(tmp_path, {"mode": "batch"}, subscriptions=SUBSCRIPTIONS, **chain_options) as chain:
        record = await run(scenario(chain, tmp_path, {"thing": THINGS, "pump": HUB}))
        assert record.problems == {}
        found = await asyncio.to_thread(verify_run, record, ingest=chain.ingest, wait_s=30)
        assert (found.outcome, found.failures()) == (Outcome.PASS, [])
        assert found.total_sent == record.totals["emitted"] > 6 * 5

        # One shows what another authority has issued; the broker lets another in, but not say what is not its own.
        spoiled = scenario(chain, tmp_path, {"odd": THINGS}, odd_2="forged", odd_3="thing-3")
        record = await run(spoiled)
        assert "1 of 3 devices never connected: it ended the TLS handshake (tlsv1 alert unknown ca)" in record.verdict
        lost = await asyncio.to_thread(verify_run, record, ingest=chain.ingest, wait_s=1)
        assert lost.outcome is Outcome.FAIL
        refused = record.totals["emitted"] - record.totals["acknowledged"] - record.totals["unsent"]
        assert f"http: the broker refused {refused}: {refused} not authorized (0x87)" in lost.failures()
