"""What is wrong with a kind of one's own is said in a sentence, with file and line, and what to do."""

from pathlib import Path

import pytest

from devices.scenario.loading import load_scenario
from edgewire.errors import ConfigError

CASES = {
    "a: {formula: a + 1}": "needs itself: a -> a",
    "a: {formula: b + 1}\n      b: {formula: 2 * a}": "needs itself: a -> b -> a",
    "a: {noise: {deviation: 1, with: b}}\n      b: {noise: {deviation: 1, with: a}}": "needs itself: a -> b -> a",
    "a: {formula: shelf_x}\n      shelf_c: {constant: 4}": "nothing is called 'shelf_x', did you mean 'shelf_c'?",
    "a: {world: weather.temperture_c}": "did you mean 'weather.temperature_c'?",
    "a: {poisson: {per_hour: nope * 2}}": "a.poisson.per_hour: nothing is called 'nope'",
    "a: {on_off: {on: 5 parsecs, off: 1m}}": "a.on_off.on: '5 parsecs' is no duration",
    "a: {on_off: {on: 9m..4m, off: 1m}}": "write the shorter one first",
    "a: {noise: {deviation: 1, period: 5x}}": "'5x' is no duration",
    "a: {choice: {of: [1, 2], every: now}}": "'now' is no duration",
    "seq: {constant: 4}": "'seq' of its own: give the field another name",
    "device_id: {constant: 4}": "'device_id' of its own",
    "timestamp: {constant: 4}": "'timestamp' of its own",
    "boot: {constant: 4}": "'boot' of its own",
    "battery_pct: {constant: 4}": "'battery_pct' of its own",
    "clean_x: {constant: 4}": "'clean_x' of its own",
    "TempC: {constant: 4}": "lower-case letters",
    "a: {constant: 4, formula: '3'}": "has constant and formula: keep one",
    "a: {unit: x}": "write one of constant, choice",
    "a: {formla: '3'}": "did you mean 'formula'?",
    "a: {formula: 3 +}": "'3 +' is no formula",
    "a: {formula: \"__import__('os')\"}": "there is no function '__import__'",
    "m: {constant: x}\n      a: {formula: m + 1}": "'m' is a text",
    "m: {constant: x, decimals: 2}": "decimals: is of numbers",
    "a: {on_off: {on: 1s, off: 2s}, vary: 2}": "vary: is of numbers",
    "a: {walk: {min: 3, max: 1, step: 2}}": "walk.max: must be above min",
    "a: {constant: 1, min: 3, max: 2}": "a.max: must be above min",
    "a: {choice: {of: [1, x]}}": "several types",
    "a: {choice: {of: [1, 2], weights: [1]}}": "weights: needs one for each",
    "a: {counter: {of: dor}}\n      door: {on_off: {on: 1s, off: 2s}}": "did you mean 'door'?",
    "a: {counter: {step: 2}}": "needs either per_hour",
    "a: {profile: {points: {12:00: 3}}}": "put it in quotes",
    "a: {profile: {points: {'25:00': 3}}}": "should be a time of day",
    "a: {profile: {points: {'12:00': 3}, days: {sonday: 2}}}": "did you mean 'sunday'?",
    "a: {counter: {per_hour: 3, profile: {points: {'12:00': 0}}}}": "is 0 all the week",
    "a: {counter: {per_hour: 3, profile: {points: {'12:00': -1}}}}": "no value of it is below 0",
    "a: {constant: .inf}": "at most 10^12",
    "a: {noise: {deviation: .nan}}": "finite",
    "a:": "should be a mapping",
    "a: {constant: 1, missing: 30}": "less than or equal to 1",
    "a: {constant: 1, hidden: true}": "are all hidden",
    "min: {constant: 1}": "is a word of formulas",
    "a: {world: people.inside}": "nobody counts people at the site 'default'",
    "a: {world: traffic.flow@cam-1}": "'cam-1' is no site, and no id of a device of kind traffic",
    "a: {world: weather.rain@}": "does not say where",
}


@pytest.mark.parametrize(("fields", "said"), CASES.items())
def test_a_field_that_makes_no_sense(tmp_path: Path, fields: str, said: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"kinds:\n  fridge:\n    fields:\n      {fields}\ndevices: [{{kind: fridge, count: 2}}]\n")
    with pytest.raises(ConfigError) as caught:
        load_scenario(path)
    first = str(caught.value).splitlines()[0]
    assert said in first
    assert first.startswith((f"{path}:4: ", f"{path}:5: ", f"{path}:3: "))


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ("{bme280: {fields: {a: {constant: 1}}}}", "comes with edgefleet: give yours another name"),
        ("{device: {fields: {a: {constant: 1}}}}", "comes with edgefleet"),
        ("{Fridge-X: {fields: {a: {constant: 1}}}}", "is no name of a kind"),
        ("{batch: {fields: {a: {constant: 1}}}}", "choose another name"),
        ("{frige: {fields: {a: {constant: 1}}}}", "is not a kind of device, did you mean 'frige'?"),
        ("[fridge]", "should be a mapping of names to kinds"),
        ("7", "should be a mapping of names to kinds"),
        ("{fridge: }", "should be a mapping"),
        ("{fridge: {fields: {}}}", "is empty"),
        ("{fridge: {fields: {a: {constant: 1}}, settings: {a: 1}}}", "is a field as well"),
        ("{fridge: {fields: {a: {constant: 1}}, setings: {b: 1}}}", "did you mean 'settings'?"),
    ],
)
def test_a_kind_that_makes_no_sense(tmp_path: Path, kinds: str, said: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"kinds: {kinds}\ndevices: [{{kind: fridge, count: 2}}]\n")
    with pytest.raises(ConfigError) as caught:
        load_scenario(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path}:")


def test_settings_of_a_group_are_those_of_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    kind = "kinds: {fridge: {fields: {a: {formula: point + 1}}, settings: {point: 4}}}\n"
    path.write_text(f"{kind}devices: [{{kind: fridge, settings: {{pont: 3}}}}]\n")
    with pytest.raises(ConfigError, match="did you mean 'point'"):
        load_scenario(path)
    path.write_text(f"{kind}devices: [{{kind: fridge, settings: {{point: 3}}}}]\n")
    assert load_scenario(path).devices[0].settings == {"point": 3}
