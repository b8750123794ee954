"""Compares what was sent with what arrived.

`arrivals` is what a source yields; `http_source` and `kafka_source` read the ingest's store and Kafka; `checker`
compares and does no I/O; `verdict` is the result; `report` prints it; `run` reads until all has arrived.
"""

from edgefleet.verify.arrivals import Arrivals, from_rows
from edgefleet.verify.checker import Checker, verify
from edgefleet.verify.report import print_verdict
from edgefleet.verify.run import verify_run
from edgefleet.verify.verdict import Counts, Latency, RunVerdict, SinkVerdict

__all__ = [
    "Arrivals",
    "Checker",
    "Counts",
    "Latency",
    "RunVerdict",
    "SinkVerdict",
    "from_rows",
    "print_verdict",
    "verify",
    "verify_run",
]
