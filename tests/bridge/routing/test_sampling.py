"""A share of the messages or devices, always the same ones."""

import pytest

from bridge.routing.config import RouteConfig
from bridge.routing.routed import RoutedEvent
from bridge.routing.sampling import Sampler
from bridge.routing.table import RouteTable
from tests.bridge.fakes import spooled


def table(*rows: dict[str, object]) -> RouteTable:
    return RouteTable([RouteConfig(**row) for row in rows])


@pytest.mark.parametrize(
    ("text", "share", "by"),
    [
        (0.1, 0.1, "message"),
        ("1/10", 0.1, "message"),
        ("1/4 by device", 0.25, "device"),
        (".5 by message", 0.5, "message"),
        (1, 1.0, "message"),
    ],
)
def test_a_sample_is_a_share(text: object, share: float, by: str) -> None:
    assert Sampler.from_text(text) == Sampler(share, by)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [0, "1/0", "2/1", "half", "", True, -0.5, "1/10 by site", "11"])
def test_what_is_no_sample_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"is no sample|is no share"):
        Sampler.from_text(text)


def test_a_sample_takes_its_share_and_always_the_same_messages() -> None:
    tried = table({"topic": "#", "http": "/x", "sample": "1/10"})
    taken = {n for n in range(5000) if isinstance(tried.resolve(spooled(n, f"d{n % 50}")), RoutedEvent)}
    assert 400 < len(taken) < 600
    again = table({"topic": "#", "http": "/x", "sample": 0.1})
    assert taken == {n for n in range(5000) if isinstance(again.resolve(spooled(n, f"d{n % 50}")), RoutedEvent)}


def test_a_sample_by_device_takes_all_messages_of_some_devices() -> None:
    tried = table({"topic": "#", "http": "/x", "sample": "1/4 by device"})
    taken = {
        f"d{d}": sum(isinstance(tried.resolve(spooled(n, f"d{d}")), RoutedEvent) for n in range(5)) for d in range(400)
    }
    assert set(taken.values()) == {0, 5}
    assert 60 < sum(count == 5 for count in taken.values()) < 140
