"""Templates of texts and bodies, and the fields they know."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.message.template import Body, Template, TemplateError
from bridge.message.user_properties import dump_properties
from tests.bridge.fakes import routed

ONE = routed(5, "dev-1", speed=31.5, on=True, none=None, who={"name": "Ann", "tags": ["x"]}, text="a b", n=3)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{device_id}", "dev-1"),
        ("{site}/{kind}/{device_id}/{channel}", "site/bme280/dev-1/telemetry"),
        ("{topic}", "edge/site/bme280/dev-1/telemetry"),
        ("{message_id} {timestamp}", "dev-1:1:5 2026-03-01T12:00:00.000Z"),
        ("{payload.speed} {payload.on} {payload.n}", "31.5 true 3"),
        ("{payload.who.name}", "Ann"),
        ("{payload.gone|none}-{payload.none|}", "none-"),
        ("{payload.speed|none}", "31.5"),
        ("{{{site}}}", "{site}"),
        ("{{}}", "{}"),
    ],
)
def test_fields_are_filled_in(text: str, rendered: str) -> None:
    template = Template(text)
    assert template.render(ONE) == rendered
    assert (template.fixed is not None) is not bool(template.fields)


@pytest.mark.parametrize("text", ["{payload.gone}", "{payload.none}", "{payload.speed.x}", "x{payload.who.gone}"])
def test_a_field_that_is_not_there_is_named(text: str) -> None:
    with pytest.raises(TemplateError, match=r"'\{payload\..*\}' has no value"):
        Template(text).render(ONE)


@pytest.mark.parametrize("text", ["{payload.who}", "{payload.who.tags}", "{payload}"])
def test_lists_and_mappings_are_no_text(text: str) -> None:
    with pytest.raises(TemplateError, match="no text or number"):
        Template(text).render(ONE)


@pytest.mark.parametrize(
    "text", ["{", "}", "a}b", "{site", "{{{site}}", "{}", "{ site }", "{device}", "{site!r}", "{payload.}", "{site.x}"]
)
def test_what_is_no_template_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"brace|no field of a template"):
        Template(text)


def test_every_value_goes_through_the_escape_but_the_text_around_it_does_not() -> None:
    assert Template("a/{payload.text}/{device_id}").render(ONE, lambda value: f"<{value}>") == "a/<a b>/<dev-1>"
    assert Template("{device_id}").render(ONE, lambda value: f"<{value}>") == "<dev-1>"


def test_a_static_text_leaves_out_what_differs_from_device_to_device() -> None:
    template = Template("{site}/{kind}/{channel}/{device_id}/{payload.speed}")
    assert template.render_static(ONE.topic_info) == "site/bme280/telemetry/{device_id}/{payload.speed}"
    assert template.varies_by_device
    assert not Template("{site}{kind}{channel}").varies_by_device


@given(st.text())
def test_a_text_with_its_braces_doubled_is_itself(text: str) -> None:
    assert Template(text.replace("{", "{{").replace("}", "}}")).render(ONE) == text


def test_a_body_of_json_keeps_the_types_of_fields() -> None:
    body = Body({"v": "{payload.speed}", "t": "{payload.speed} km/h", "all": "{payload.who}", "l": [1, None, "{site}"]})
    assert body.render(ONE) == b'{"v":31.5,"t":"31.5 km/h","all":{"name":"Ann","tags":["x"]},"l":[1,null,"site"]}'
    assert Body("{payload}") == Body("{payload}")
    assert Body({"p": "{payload}"}).render(ONE) == b'{"p":' + ONE.message.payload + b"}"
    with pytest.raises(TemplateError, match="gone"):
        Body({"v": ["{payload.gone}"]}).render(ONE)


def test_a_body_of_text_is_a_text() -> None:
    assert Body("air,site={site} t={payload.speed}").render(ONE) == b"air,site=site t=31.5"
    with pytest.raises(ValueError, match="brace"):
        Body({"a": ["{"]})


def test_a_property_of_mqtt_5_is_the_first_of_its_name_or_the_default() -> None:
    message = routed(1)
    with pytest.raises(TemplateError, match=r"property\.tenant"):
        Template("{property.tenant}").render(message)
    assert Template("{property.tenant|none}").render(message) == "none"
    message.message.properties = dump_properties(
        {"content_type": "application/json", "user_property": [("Tenant", "a"), ("tenant", "b")]}
    )
    template = Template("{property.tenant}/{property.content_type}/{site}")
    assert template.render(message) == "a/application/json/site"
    assert template.varies_by_device
    assert not template.reads_payload
    assert template.render_static(message.topic_info) == "{property.tenant}/{property.content_type}/site"
    with pytest.raises(ValueError, match=r"no field of a template: it knows .* and property\.NAME"):
        Template("{property.}")
