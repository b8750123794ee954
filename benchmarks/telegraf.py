"""Telegraf as a bridge from MQTT to HTTP: QoS 1, a persistent session, and as much as it can hold in memory.

It keeps nothing on disk: what it has not delivered it has not acknowledged, and the broker sends it again.
"""

import json
import shutil
from pathlib import Path

from benchmarks.bridge_processes import AnnouncedProcess

PROGRAM = "telegraf"
HOW_TO_GET = (
    "Telegraf is not installed: put `telegraf` (github.com/influxdata/telegraf, 1.34 for these figures) in PATH"
)
BATCH = 1000
FLUSH = "100ms"
# Telegraf acknowledges what a batch has delivered; it is to have several of them under way.
_UNDELIVERED = 10 * BATCH


def is_installed() -> bool:
    """Return whether it is in PATH."""
    return shutil.which(PROGRAM) is not None


class Telegraf(AnnouncedProcess):
    """Runs it; ready once it has connected to the broker. Both addresses are URLs, and its files are in `folder`."""

    def __init__(self, folder: Path, broker: str, url: str) -> None:
        """Write its configuration; nothing runs before `start`."""
        path = folder / "telegraf.conf"
        # Strings of JSON are strings of TOML.
        path.write_text(
            f"""[agent]
flush_interval = "{FLUSH}"
metric_batch_size = {BATCH}
metric_buffer_limit = 1000000
omit_hostname = true

[[inputs.mqtt_consumer]]
servers = [{json.dumps(broker.replace("mqtt://", "tcp://"))}]
topics = ["edge/#"]
qos = 1
client_id = {json.dumps(f"telegraf-{folder.name}")}
persistent_session = true
max_undelivered_messages = {_UNDELIVERED}
data_format = "value"
data_type = "string"

[[outputs.http]]
url = {json.dumps(url)}
method = "POST"
data_format = "json"
"""
        )
        command: list[str | Path] = [PROGRAM, "--config", path]
        super().__init__(PROGRAM, command, rb"Connected \[", start_timeout_s=60)
