"""Files of identities: what they may look like, and one sentence with file and line for what they may not."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.fleet.brokers import broker_pool_for
from devices.fleet.run_record import scenario_digest, spoken_scenario
from devices.scenario.devices import all_devices
from devices.scenario.identity_table import read_identities, read_logins
from devices.scenario.loading import load_scenario
from devices.scenario.scenario import Scenario
from edgewire.errors import ConfigError
from edgewire.link import BrokerUrl

FORMAT = {"topic": "plant/{line}/{id}", "payload": {"t": "temperature_c", "l": "line"}}


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "fleet.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def scenario(path: Path, **keys: Any) -> Scenario:
    return Scenario(devices=[{"kind": "bme280", "identities": path, **keys}])


@pytest.mark.parametrize(
    "text",
    [
        "id,line\na,1\nb,2\n",
        "id;line\r\na;1\r\nb;2\r\n",
        "line\tid\n1\ta\n2\tb",
        "\ufeffid,line\n\na,1\n,\nb,2\n\n",
        'id,line\n"a","1"\n"b",2\n',
    ],
    ids=["commas", "semicolons", "tabs", "byte order mark and empty rows", "quoted"],
)
def test_whatever_a_spreadsheet_writes_is_read(tmp_path: Path, text: str) -> None:
    table = read_identities(written(tmp_path, text))
    assert (table.ids, table.fields) == (("a", "b"), {"line": ("1", "2")})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "fleet.csv: is empty: its first line has to name the columns"),
        ("id,line\n", "fleet.csv: has no device below its header"),
        ("device,line\na,1\n", "fleet.csv:1: has no column 'id'; it has device, line"),
        ("id,line,line\na,1,2\n", "fleet.csv:1: has two columns 'line'"),
        ("id,line\na,1\nb,2\na,3\n", "fleet.csv:4: id 'a' is that of line 2 as well"),
        ("id,client_id\na,x\nb,x\n", "fleet.csv:3: client_id 'x' is that of line 2 as well"),
        ("id,client_id\na,\n", "fleet.csv:2: client_id is empty"),
        ("id,line\n,1\n", "fleet.csv:2: id is empty"),
        ("id,line\na,1\nb\n", "fleet.csv:3: has 1 cells, and the header 2"),
        ('id,line\na,"1\n', "fleet.csv:2: is no CSV: unexpected end of data"),
        ('id,line\na,"1"2\n', "fleet.csv:2: is no CSV"),
        ("id,line\na," + "x" * 5000, "fleet.csv:2: is no CSV: field larger than field limit"),
        (b"id,line\na,\xff\n", "fleet.csv:2: is no text in UTF-8: save the file as that"),
        ("id,password\na,s3cret\n", "fleet.csv:2: has a password and no username"),
        ("id,key\na,a.pem\n", "fleet.csv:2: has a key and no certificate"),
        ("id,certificate\na,a.pem\n", "fleet.csv:2: certificate: there is no file"),
        ("id,user\na,b\n", "fleet.csv:1: column 'user' would be a field"),
        ("id," + ",".join(f"c{number}" for number in range(100)) + "\n", "fleet.csv:1: has 101 columns"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        read_identities(path)
    assert said in str(refused.value)
    assert "s3cret" not in str(refused.value)
    config = tmp_path / "scenario.yaml"
    config.write_text("devices:\n  - kind: bme280\n    identities: fleet.csv\n")
    with pytest.raises(ConfigError) as told:
        load_scenario(config)
    assert str(told.value).startswith(f"{config}:3: devices[0].identities: ")
    assert said in str(told.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fleet\.csv: cannot be read: No such file"):
        read_identities(tmp_path / "fleet.csv")


@given(count=st.integers(1, 20), more=st.integers(0, 20))
def test_devices_of_the_first_rows_stay_as_a_file_grows(
    tmp_path_factory: pytest.TempPathFactory, count: int, more: int
) -> None:
    folder = tmp_path_factory.mktemp("grows")
    rows = [f"d{number},c{number},{number % 3}" for number in range(count + more)]
    path = written(folder, "\n".join(["id,client_id,line", *rows]))
    whole = [device for device, _ in all_devices(scenario(path, **FORMAT))]
    first = [device for device, _ in all_devices(scenario(path, count=count, **FORMAT))]
    assert whole[:count] == first


def test_more_devices_than_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has 1 devices, and count asks for 2"):
        scenario(written(tmp_path, "id\na\n"), count=2)


def test_any_id_goes_but_in_the_contract(tmp_path: Path) -> None:
    path = written(tmp_path, "id,line\nPrëss 1:x,a\n")
    ((device, _),) = all_devices(scenario(path, **FORMAT))
    assert (device.device_id, device.client_id, device.fields) == ("Prëss 1:x", "Prëss 1:x", {"line": "a"})
    with pytest.raises(ValueError, match="other ids are for dialects and formats of your own"):
        scenario(path)
    with pytest.raises(ValueError, match="no level of a topic may have"):
        scenario(written(tmp_path, "id,line\na/b,a\n"), **FORMAT)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"ids": ["b"]}, "ids: is in the file of identities: leave it out"),
        ({"client_ids": 5}, "client_ids: is in the file of identities: leave it out"),
        ({"fields": ["a"]}, "fields: Input should be a valid dictionary"),
        (
            {"topic": "p/{lime}/{id}", "payload": {"t": "temperature_c"}},
            "nothing is called {lime}, did you mean 'line'?",
        ),
        ({"fields": {"line": "x", "id": "y"}, **FORMAT}, "fields.id: is what every device has"),
        ({"fields": {"zone": ["x", "y"]}, **FORMAT}, "fields.zone: needs one text for all, or one for each of the 1"),
    ],
)
def test_what_contradicts_the_file_is_told(tmp_path: Path, keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match="for Scenario") as refused:
        scenario(written(tmp_path, "id,line\na,1\n"), **keys)
    where = " ".join(str(refused.value).split())
    assert said.rpartition(": ")[2] in where


def test_a_column_site_is_the_site(tmp_path: Path) -> None:
    path = written(tmp_path, "id,site\na,north\n")
    sites = [{"name": name, "latitude": 50, "longitude": 8} for name in ("south", "north")]
    ((device, _),) = all_devices(Scenario(sites=sites, devices=[{"kind": "bme280", "identities": path}]))
    assert device.site == "north"
    with pytest.raises(ValueError, match="'north' of column site is not one of default"):
        scenario(path)


def test_who_logs_in_how(tmp_path: Path) -> None:
    path = written(tmp_path, "id,client_id,username,password\na,A,ua,pa\nb,B,,\n")
    assert [login.username for _, login in read_logins(path, 2)] == ["ua", None]
    pool = broker_pool_for(scenario(path), ["a", "b"])
    broker = BrokerUrl.parse("mqtt://h")
    assert pool.identities.credentials_for("A", broker) == ("ua", b"pa")
    assert pool.identities.credentials_for("B", broker) == (None, None)
    # Who asks what the broker is does so as one of them, unless the URL names somebody.
    assert pool.identities.credentials_for("edgefleet-probe", broker) == ("ua", b"pa")
    assert pool.identities.credentials_for("edgefleet-probe", BrokerUrl.parse("mqtt://u:p@h")) == ("u", b"p")
    assert "pa" not in repr(next(read_logins(path, 1)))


def test_a_record_has_ids_and_fields_and_no_path_and_no_secret(tmp_path: Path) -> None:
    loaded = scenario(written(tmp_path, "id,username,password,line\na,u,s3cret,1\n"), **FORMAT)
    spoken = spoken_scenario(loaded)
    assert spoken is not None
    assert "s3cret" not in str(spoken)
    assert "identities" not in spoken["devices"][0]
    again = Scenario.model_validate(spoken)
    assert scenario_digest(again) == scenario_digest(loaded)
    assert [device for device, _ in all_devices(again)] == [device for device, _ in all_devices(loaded)]


@pytest.mark.parametrize(
    ("text", "keys", "warned"),
    [
        ("id,username,password\na,u,p\n", {}, True),
        ("id,username,password\na,u,\n", {}, False),
        ("id\na\n", {}, False),
        ("id,username,password\na,u,p\n", {"broker": "mqtts://h"}, False),
        ("id,username,password\na,u,p\n", {"broker": "mqtt://127.0.0.1"}, False),
        ("id,username,password\na,u,p\n", {"allow_plain_password": True}, False),
        ("id\na\n", {"broker": ["mqtts://h", "mqtt://u:p@h"]}, True),
    ],
)
def test_passwords_of_a_file_that_go_unencrypted_are_told(
    tmp_path: Path, text: str, keys: dict[str, object], warned: bool
) -> None:
    group = {"kind": "bme280", "identities": written(tmp_path, text)}
    one = Scenario.model_validate({"broker": "mqtt://h", "devices": [group]} | keys)
    assert (one.plain_password_warning is not None) == warned
