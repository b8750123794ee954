"""`edgefleet bridge run CONFIG` that keeps a profile of where its CPU time goes: `profiled_bridge.py CONFIG PROFILE`.

SIGUSR2 writes the profile; two profiles, before and after, give what was spent in between.
"""

import json
import signal
import sys
from pathlib import Path
from types import FrameType

from benchmarks.sampling import Profile

RECEIVE, SPOOL, ROUTE, HTTP, KAFKA, SETTLE, OTHER = STAGES = (
    "receive, decode, acknowledge",
    "spool: commit and read again",
    "route",
    "HTTP",
    "Kafka",
    "deliver and settle: order, breakers, cursors",
    "event loop and the rest",
)
_PLACES = {
    "edgewire/mqtt/": RECEIVE,
    "edgewire/link/": RECEIVE,
    "bridge/source/client.py": RECEIVE,
    "bridge/source/receiver.py": RECEIVE,
    "bridge/message/user_properties.py": RECEIVE,
    "bridge/spool/": SPOOL,
    "bridge/delivery/runners.py": ROUTE,
    "bridge/routing/table.py": ROUTE,
    "bridge/routing/sampling.py": ROUTE,
    "bridge/message/event.py": ROUTE,
    "bridge/message/foreign.py": ROUTE,
    "edgewire/dialects/": ROUTE,
    "bridge/routing/validation.py": ROUTE,
    "bridge/loss_detection/sequence_gaps.py": ROUTE,
    "bridge/sinks/http/": HTTP,
    "bridge/sinks/kafka/": KAFKA,
    "bridge/delivery/": SETTLE,
    "edgewire/messages/topics.py": ROUTE,
}
_PACKAGES = {"aiohttp": HTTP, "confluent_kafka": KAFKA}


def main() -> None:
    """Run the bridge."""
    from edgefleet.cli import main as edgefleet

    config, path = sys.argv[1:3]
    profile = Profile(_PLACES, _PACKAGES, OTHER)

    def write(number: int, frame: FrameType | None) -> None:
        profile.sample(number, frame)
        partial = Path(path).with_suffix(".partial")
        partial.write_text(json.dumps({"loop": profile.spent, "threads": profile.threads()}))
        partial.replace(path)

    signal.signal(signal.SIGUSR2, write)
    profile.begin()
    sys.argv = ["edgefleet", "bridge", "run", config]
    edgefleet()


if __name__ == "__main__":
    main()
