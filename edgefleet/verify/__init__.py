"""Compares what was sent with what arrived.

`arrivals` is what a source yields; `http_source` and `kafka_source` read the ingest's store and Kafka; `checker`
compares over a `message_index` and does no I/O, `clocks` judges the times and `gaps` what the record leaves open;
`expected_contents` computes again what was said without ids, and `content_checker` finds it by `message_content` among
what arrived, as `multiset` pairs both;
`verdict` is the result; `report` prints it; `run` reads until all has arrived.
"""

from edgefleet.verify.arrivals import Arrivals, from_rows
from edgefleet.verify.checker import Checker, verify
from edgefleet.verify.report import print_verdict
from edgefleet.verify.run import verify_run
from edgefleet.verify.verdict import Counts, Latency, Outcome, RunVerdict, SinkVerdict

__all__ = [
    "Arrivals",
    "Checker",
    "Counts",
    "Latency",
    "Outcome",
    "RunVerdict",
    "SinkVerdict",
    "from_rows",
    "print_verdict",
    "verify",
    "verify_run",
]
