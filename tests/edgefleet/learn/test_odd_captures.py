"""Whatever devices say, a capture is learned of or its messages are counted: none ends in an error nobody expected."""

import random
from pathlib import Path
from typing import Any

import orjson
import pytest

from edgefleet.learn.messages import NothingLearned
from tests.edgefleet.learn.installation import BEGIN_MS, learn

KEYS = ["t", "id", "seq", "const", "from", "each", "unit", "round", "min", "no", "a b", "ä", "", "{id}", "x.y", "lat"]
VALUES = [0, 1, -3, 2.5, 1e11, 1e13, 1e300, 2**63, True, None, "on", "", "ä b", "{id}", "x{y}", "timestamp", "NaN", "+"]
TOPICS = [
    "w/d1/s",
    "w/d2/s",
    "d1",
    "tele/d1/SENSOR",
    "tele/d2/SENSOR",
    "zigbee2mqtt/d1",
    "n/sensor/t/state",
    "$x/{id}//",
]


def something(rng: random.Random, depth: int = 0) -> Any:
    """Return some value of JSON."""
    kind = rng.random() if depth < 3 else 0
    if kind < 0.5:
        return rng.choice(VALUES)
    inner = [something(rng, depth + 1) for _ in range(rng.randint(0, 4))]
    return inner if kind < 0.65 else dict(zip(rng.sample(KEYS, len(inner)), inner, strict=True))


@pytest.mark.parametrize("seed", range(8))
def test_odd_payloads(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    shape = something(rng)
    rows = [
        {
            "time": BEGIN_MS + at * 1000,
            "topic": rng.choice(TOPICS),
            "payload": something(rng) if rng.random() < 0.3 else shape,
            "retain": rng.random() < 0.1,
        }
        for at in range(60)
    ]
    capture = tmp_path / "capture.jsonl"
    capture.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    result = learn(capture, "--out", tmp_path / "fleet.yaml", "--json")
    if result.exit_code:
        assert isinstance(result.exception, NothingLearned)
        assert "makes no scenario" not in str(result.exception)
    else:
        report = orjson.loads(result.stdout)
        assert report["messages"] == report["used"] + sum(report["unused"].values()) == 60
