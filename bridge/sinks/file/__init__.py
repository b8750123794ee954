"""Files: lines that are on disk before they count as delivered."""

from bridge.sinks.base import SinkKind
from bridge.sinks.file.config import FileConfig, FileTarget
from bridge.sinks.file.sink import FileSink

FILE = SinkKind("file", FileConfig, FileTarget, FileSink)

__all__ = ["FILE", "FileConfig", "FileSink", "FileTarget"]
