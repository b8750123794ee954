import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from bridge.config import BridgeConfig
from bridge.sinks.file.config import FileSinkConfig
from bridge.source.sessions import subscriptions
from edgewire.config import load_config, parse_config
from edgewire.errors import ConfigError
from edgewire.messages import MEASUREMENT_FILTERS

EXAMPLE = Path(__file__).parents[2] / "bridge.yaml"


def read(text: str) -> BridgeConfig:
    return parse_config(text, BridgeConfig, name="b.yaml")


def test_one_sink_is_enough_and_everything_else_has_a_default() -> None:
    config = read("http: {}")
    assert config.subscriptions == MEASUREMENT_FILTERS
    assert config.kafka is None
    assert config.http
    assert config.http.requests_at_once == 2
    assert config.spool.commit_interval == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "no sink is configured"),
        ("htpp: {}", "unknown key 'htpp', did you mean 'http'?"),
        ("http: {url: 'no url'}", "http.url"),
        ("http: {timeout: soon}", "http.timeout: 'soon' is no duration"),
        ("http: {mode: both}", "http.mode"),
        ("http: {batch_messages: 0}", "http.batch_messages"),
        ("spool: {max_bytes: plenty}\nhttp: {}", "spool.max_bytes: 'plenty' is no size"),
        ("kafka: {properties: {acks: 0}}", "'acks' cannot be set here"),
        ("kafka: {properties: {bootstrap.servers: x}}", "write bootstrap_servers"),
        ("http: {}\nclient_id: a b", "client_id"),
        ("http: {}\nbroker: http://x", "is not of the form mqtt://"),
        ("http: {}\nsubscriptions: ['a/#/b']", "filter 'a/#/b' has '#' before its last level"),
        ("http: {}\nroutes: [{topic: 'a+', http: /x}]", "wildcard that is not a whole level"),
        ("http: {}\nroutes: [{topic: a, kafka: {topic: t, key: '{device}'}}]", "'{device}' is no field of a template"),
        ("http: {}\nroutes: [{topic: a, kafka: {topic: 'a topic'}}]", "routes[0].kafka.topic"),
    ],
)
def test_a_wrong_configuration_is_one_sentence_that_names_the_key(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert str(caught.value).startswith("b.yaml:")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_BROKER", "mqtt://elsewhere:1")
    monkeypatch.setenv("BRIDGE_HTTP__URL", "http://elsewhere:2")
    monkeypatch.setenv("BRIDGE_KAFKA__PROPERTIES", '{"security.protocol": "SSL"}')
    config = read("http: {url: 'http://here:1', token: secret}")
    assert config.broker == "mqtt://elsewhere:1"
    assert config.http
    assert config.kafka
    assert str(config.http.url) == "http://elsewhere:2"
    assert config.kafka.properties == {"security.protocol": "SSL"}
    assert "secret" not in repr(config)


def keys(model: type[BaseModel]) -> set[str]:
    found = {field.alias or name for name, field in model.model_fields.items()}
    for field in model.model_fields.values():
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                found |= keys(inner)
    return found


def test_the_example_is_valid_and_explains_every_key() -> None:
    config = load_config(EXAMPLE, BridgeConfig)
    assert config.http
    assert config.kafka
    written = set(re.findall(r"^\s*(?:# ?)?\s*-?\s*\{?([a-z_]+):", EXAMPLE.read_text(), re.MULTILINE))
    assert keys(BridgeConfig) - written == set()


def test_the_defaults_in_the_example_are_the_real_ones() -> None:
    example = yaml.safe_load(EXAMPLE.read_text())
    for part in ("mqtt", "spool", "http", "kafka", "admin"):
        field = BridgeConfig.model_fields[part]
        model = next(
            inner
            for inner in (field.annotation, *getattr(field.annotation, "__args__", ()))
            if isinstance(inner, type) and issubclass(inner, BaseModel)
        )
        assert model(**example[part]) == model(), part
    commented = re.search(r"^# file:\n((?:#   .*\n)+)", EXAMPLE.read_text(), re.MULTILINE)
    assert commented
    assert FileSinkConfig(**yaml.safe_load(re.sub(r"^#   ", "", commented[1], flags=re.MULTILINE))) == FileSinkConfig()


def test_a_member_of_a_group_takes_its_number_from_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "bridge-17")
    assert BridgeConfig(http={}, client_id="b-{ordinal}").client_id == "b-17"
    assert BridgeConfig(http={}, client_id="{hostname}").client_id == "bridge-17"
    monkeypatch.setenv("BRIDGE_ORDINAL", "4")
    assert BridgeConfig(http={}, client_id="b-{ordinal}").client_id == "b-4"
    monkeypatch.delenv("BRIDGE_ORDINAL")
    monkeypatch.setattr("socket.gethostname", lambda: "laptop")
    with pytest.raises(ValidationError, match="set BRIDGE_ORDINAL"):
        BridgeConfig(http={}, client_id="b-{ordinal}")
    with pytest.raises(ValidationError, match="client_id"):
        BridgeConfig(http={}, client_id="b-{name}")


def test_shared_subscriptions() -> None:
    config = BridgeConfig(http={}, subscriptions=["$share/g/edge/#"])
    assert config.shared
    (one,) = subscriptions(config)
    assert (one.filter, one.no_local) == ("$share/g/edge/#", False)
    assert not BridgeConfig(http={}).shared
    with pytest.raises(ValidationError, match="a shared subscription gets none of them"):
        BridgeConfig(http={}, subscriptions=["$share/g/edge/#"], mqtt={"retained": "always"})
    with pytest.raises(ValidationError, match="share name"):
        BridgeConfig(http={}, subscriptions=["$share/+/edge/#"])
