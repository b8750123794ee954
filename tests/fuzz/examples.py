"""What to begin with: messages that devices of each dialect were heard to say, examples of the contract, documents."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from tests.fuzz.target import ROOT

_CAPTURES = ROOT / "tests" / "dialects" / "captures"


def captured_entries() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield dialect and entry of everything that was captured."""
    for path in sorted(_CAPTURES.glob("*.yaml")):
        yield from ((path.stem, entry) for entry in yaml.safe_load(path.read_text()))


def captured_payload(entry: dict[str, Any]) -> bytes:
    """Return the payload of an entry."""
    return bytes.fromhex(entry["hex"]) if "hex" in entry else str(entry["payload"]).encode()


def contract_messages() -> Iterator[tuple[str, bytes]]:
    """Yield topic and payload of the examples of the message contract."""
    from edgewire.messages import CONTRACT

    for contract in CONTRACT.values():
        for message in contract.messages:
            for example in message.examples:
                topic = f"edge/a/{contract.kind}/{example['device_id']}/{message.channel}"
                yield topic, json.dumps(example, default=str).encode()


def yaml_seeds(*places: str) -> Callable[[], Iterator[bytes]]:
    """Files, and the blocks of pages that are YAML; each as it is, and as JSON, which is YAML too and stays it."""

    def seeds() -> Iterator[bytes]:
        for place in places:
            for path in sorted(ROOT.glob(place)):
                text = path.read_text()
                blocks = [text]
                if path.suffix != ".yaml":
                    blocks = [block.partition("```")[0] for block in text.split("```yaml\n")[1:]]
                for block in blocks:
                    yield block.encode()
                    yield json.dumps(yaml.safe_load(block), default=str).encode()

    return seeds
