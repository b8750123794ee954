"""What was sent against what arrived.

`checker` compares and does no I/O; the sources read the HTTP store and Kafka; `run` waits until all has arrived.
"""

from edgefleet.verify.arrivals import Arrivals, from_rows
from edgefleet.verify.checker import Checker, verify
from edgefleet.verify.report import print_verdict
from edgefleet.verify.run import verify_run
from edgefleet.verify.verdict import Latency, SinkVerdict, Tally, Verdict

__all__ = [
    "Arrivals",
    "Checker",
    "Latency",
    "SinkVerdict",
    "Tally",
    "Verdict",
    "from_rows",
    "print_verdict",
    "verify",
    "verify_run",
]
