"""Who a device says it is at a hub: user names, tokens of keys, when these are renewed, and keys that are wrong."""

import base64
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from devices.fleet.brokers import broker_pool_for
from devices.fleet.credentials import Identities
from devices.fleet.hub_login import HubLogin, shared_access_signature
from devices.fleet.login_renewal import LoginRenewal
from devices.scenario.scenario import Scenario
from edgewire.link import BrokerUrl

HUB = BrokerUrl.parse("mqtts://hub.azure-devices.net")
KEY = base64.b64encode(b"k" * 32).decode()
CANARY = "c2VjcmV0LWNhbmFyeS1rZXk="
USER = "hub.azure-devices.net/pump-1/?api-version=2021-04-12"


def scenario_of(folder: Path, rows: str, **group: Any) -> Scenario:
    (folder / "keys.csv").write_text(rows)
    device = {"kind": "bme280", "dialect": "azure-iot", "identities": str(folder / "keys.csv")}
    return Scenario.model_validate({"broker": "mqtts://hub.azure-devices.net", "devices": [device | group]})


def test_a_token_is_that_of_azure_iot_device() -> None:
    """What its release 2.14 has made of this key, resource and end."""
    resource = quote("hub.azure-devices.net/devices/porch-07", safe="")
    assert shared_access_signature(resource, b"k" * 32, 1_795_850_185) == (
        "SharedAccessSignature sr=hub.azure-devices.net%2Fdevices%2Fporch-07"
        "&sig=zTj9eWeW4R2O7NNND%2BqSbKI8%2Fkbrx7DOCe2P7ZKZhgw%3D&se=1795850185"
    )


def test_a_device_logs_in_by_a_token_of_its_key_that_ends_a_lifetime_from_now() -> None:
    hubs = {"pump-1": HubLogin("pump-1", "", 60.0, b"k" * 32)}
    identities = Identities(None, [HUB], hubs=hubs, wall_s=lambda: 1000.5)
    username, password = identities.credentials_for("pump-1", HUB)
    assert (username, identities.token_life_s("pump-1")) == (USER, 60.0)
    assert password is not None
    assert password.endswith(b"&se=1061")
    # Who asks the hub what it is does so as a device.
    assert identities.asker("edgefleet-probe") == "pump-1"
    assert identities.credentials_for("edgefleet-probe", HUB)[0] == USER
    other = HubLogin("pump-1", "other.net", 60.0, b"k" * 32)
    assert other.username(HUB).startswith("other.net/pump-1/")
    assert "k" * 32 not in repr(other)


def test_keys_come_from_the_file_of_identities_and_a_certificate_needs_no_token(tmp_path: Path) -> None:
    scenario = scenario_of(tmp_path, f"id,sas_key\npump-1,{KEY}\n", dialect={"dialect": "azure-iot", "hub": "h.net"})
    identities = broker_pool_for(scenario, ["pump-1"]).identities
    username, password = identities.credentials_for("pump-1", HUB)
    assert username == "h.net/pump-1/?api-version=2021-04-12"
    assert password is not None
    assert b"sr=h.net%2Fdevices%2Fpump-1&" in password
    (tmp_path / "pump.pem").write_text("")
    shown = broker_pool_for(scenario_of(tmp_path, "id,certificate\npump-1,pump.pem\n"), ["pump-1"]).identities
    assert shown.credentials_for("pump-1", HUB) == (USER, None)
    assert shown.token_life_s("pump-1") is None


@pytest.mark.parametrize(
    ("rows", "group", "said"),
    [
        ("id,sas_key\npump-1,not base64 !\n", {}, r"keys\.csv:2: sas_key is no key of a hub in base64"),
        ("id,sas_key\npump-1,c2hvcnQ=\n", {}, r"keys\.csv:2: sas_key is no key of a hub"),
        (f"id,username,password,sas_key\npump-1,u,p,{CANARY}\n", {}, "a device logs in by one"),
        (f"id,sas_key\npump-1,{CANARY}\n", {"dialect": "senml"}, "sas_key is of devices of a hub"),
    ],
)
def test_a_key_that_is_none_or_of_no_use_is_told_of_and_not_shown(
    tmp_path: Path, rows: str, group: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said) as caught:
        scenario_of(tmp_path, rows, **group)
    assert not re.search(r"not base64|c2hvcnQ|c2VjcmV0", str(caught.value))


@given(st.floats(5, 86_400), st.floats(0, 1, exclude_max=True), st.floats(0, 1e6))
def test_a_token_is_renewed_in_its_second_half_and_at_the_latest_a_second_before_its_end(
    life_s: float, uniform: float, now_s: float
) -> None:
    renewal = LoginRenewal(now_s, life_s, uniform)
    assert not renewal.begins(now_s + 0.4 * life_s)
    assert renewal.begins(now_s + life_s - 2.0 + 1e-6)
    assert not renewal.is_urgent(now_s + life_s * 0.79)
    assert renewal.is_urgent(now_s + life_s - 1.0 + 1e-6)
