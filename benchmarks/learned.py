"""How like a learned fleet is to what it was learned of: a classifier that has to tell windows of both apart.

`python -m benchmarks.learned` makes a capture of ten minutes without a broker: of our own fleet in three dialects with
another seed, and of a script that is not ours. It learns it, computes what the written scenario says, and trains a
classifier on windows of each field. An AUC of 0.5 says that it cannot tell them apart, 1 that it always can.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.captures import Row, heard_of, write_capture
from devices.world.random import Floats, Ints
from edgefleet.learn.capture import HeardLimits, read_capture
from edgefleet.learn.comparison import emulated_series
from edgefleet.learn.learner import learn_fleet
from edgefleet.learn.scenario_writer import device_counts, write_scenario
from edgewire.clock import parse_ms

BEGIN_MS = parse_ms("2026-03-02T12:00:00Z")
DEVICES = 40
"""Of each group."""
WINDOW = 20
"""Readings of a window."""
SEEDS = (4711, 17, 301, 8080)
"""Of installations; what is learned of, and how, was chosen on the first alone."""


def installation(sites: int, seed: int) -> str:
    """Return a scenario of three dialects; devices of one site share its air."""
    places = "".join(f"  - {{name: s{at}, latitude: {40 + at % 20}, longitude: {at // 2}}}\n" for at in range(sites))
    spoken = (("tasmota", "air", 10), ("zigbee2mqtt", "room", 15), ("esphome", "node", 10))
    groups = "".join(
        f'  - {{kind: bme280, id: "{word}-{{n}}", count: {DEVICES}, dialect: {dialect}, interval: {every}s}}\n'
        for dialect, word, every in spoken
    )
    return f"seed: {seed}\nsites:\n{places}devices:\n{groups}"


def script_rows(seconds: int, seed: int, devices: int = DEVICES) -> Iterator[Row]:
    """Yield what a script says that is not ours: a tank's level with a pump, by a client that knows no jitter."""
    rng = np.random.default_rng(seed)
    for number in range(devices):
        level, is_on, temperature = 60 + 4 * number / devices, False, 18 + rng.normal(0, 2)
        for at_s in range(number % 5, seconds, 5):
            is_on = level < 45 or (is_on and level < 70)
            level += (0.8 if is_on else -0.5) + rng.normal(0, 0.1)
            temperature += rng.normal(0, 0.02)
            at_ms = BEGIN_MS + at_s * 1000 + int(rng.integers(0, 40))
            body = b'{"sn":"T-%04d","level":%.1f,"pump":%s,"temp":%.2f}' % (
                number, level, b"true" if is_on else b"false", temperature + rng.normal(0, 0.05),
            )  # fmt: skip
            yield at_ms, f"tanks/tank-{number:02d}/data", body, 0


def windows(series: Sequence[Floats]) -> tuple[Floats, Ints]:
    """Return a row a window, and of which device each is.

    It has mean, deviation, range, how far it goes from reading to reading, and its first values.
    """
    rows, devices = [], []
    for device, one in enumerate(series):
        for begin in range(0, len(one) - WINDOW + 1, WINDOW):
            cut = one[begin : begin + WINDOW]
            steps = np.diff(cut)
            rows.append([cut.mean(), cut.std(), cut.min(), cut.max(), steps.std(), np.abs(steps).max(), *cut[:4]])
            devices.append(device)
    return np.array(rows), np.array(devices, dtype=np.int64)


def area_under_curve(captured: Sequence[Floats], emulated: Sequence[Floats]) -> float | None:
    """Return how well a forest tells windows of devices apart of which it has seen none; 0.5 is by chance."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    (real, real_devices), (made, made_devices) = windows(captured), windows(emulated)
    if not (len(real) and len(made)):
        return None
    rows = np.concatenate([real, made])
    labels = np.repeat([0, 1], [len(real), len(made)])
    devices = np.concatenate([real_devices, made_devices + len(captured)])
    forest = RandomForestClassifier(200, min_samples_leaf=3, random_state=1)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=1)
    found = cross_val_predict(forest, rows, labels, groups=devices, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(labels, found))


def main() -> None:
    """Print the AUC of each field."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=int, default=600, help="length of the capture")
    options.add_argument("--sites", type=int, default=DEVICES, help="at how many places the devices are")
    options.add_argument(
        "--seeds", type=int, nargs="+", default=SEEDS, help="of the installations, one after the other"
    )
    given = options.parse_args()
    areas: dict[tuple[str, str], list[float]] = {}
    for seed in given.seeds:
        for spoken, field, area in learned_areas(given.sites, seed, given.seconds):
            areas.setdefault((spoken, field), []).append(area)
    print(f"| devices | field | AUC, median of {len(given.seeds)} | from | to |\n|---|---|---:|---:|---:|")
    for (spoken, field), found in areas.items():
        print(f"| {spoken} | `{field}` | {np.median(found):.2f} | {min(found):.2f} | {max(found):.2f} |")


def learned_areas(sites: int, seed: int, seconds: int) -> Iterator[tuple[str, str, float]]:
    """Learn one installation; yield the dialect, the name and the AUC of each field, and print how it was learned."""
    with tempfile.TemporaryDirectory() as folder:
        plant, capture = Path(folder) / "plant.yaml", Path(folder) / "capture.jsonl"
        plant.write_text(installation(sites, seed))
        rows = [*heard_of(plant, BEGIN_MS, seconds), *script_rows(seconds, seed)]
        print(f"seed {seed}: {write_capture(capture, rows):,} messages in {seconds} s")
        fleet = learn_fleet(read_capture(capture, HeardLimits()))
        scenario = write_scenario(Path(folder) / "fleet.yaml", fleet, device_counts(fleet.groups, None, 1.0))
        for group in fleet.groups:
            for part in group.parts:
                for field in part.fields:
                    made = emulated_series(scenario, part.kind, field.name, seconds)
                    area = area_under_curve(field.captured, made)
                    if area is not None:
                        spoken = group.dialect or "own format"
                        print(f"  {spoken} {field.name}: {field.says}: {area:.2f}")
                        yield spoken, field.name, area


if __name__ == "__main__":
    main()
