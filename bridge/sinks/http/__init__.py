"""HTTP: batches or single posts, to URLs made of the message."""

from bridge.sinks.base import SinkKind
from bridge.sinks.http.config import HttpConfig, HttpTarget
from bridge.sinks.http.sink import HttpSink

HTTP = SinkKind("http", HttpConfig, HttpTarget, HttpSink)

__all__ = ["HTTP", "HttpConfig", "HttpSink", "HttpTarget"]
