"""The timeline without a broker: into files, a database, an HTTP service or Kafka."""

from devices.export.base import BatchTarget, ExportError, State, Target, Window
from devices.export.checkpoint import Checkpoint, fingerprint
from devices.export.job import ROW_GROUP_ROWS, WINDOW_ROWS, Progress, Span, export
from devices.export.live import stream

__all__ = [
    "ROW_GROUP_ROWS",
    "WINDOW_ROWS",
    "BatchTarget",
    "Checkpoint",
    "ExportError",
    "Progress",
    "Span",
    "State",
    "Target",
    "Window",
    "export",
    "fingerprint",
    "stream",
]
