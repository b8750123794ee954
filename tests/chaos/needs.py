"""What a fault needs of the machine; without it the suite leaves the fault out, and says so."""

import os
import shutil

from edgewire.errors import ServiceUnavailable
from tests.chaos.memory_group import MemoryGroup
from tests.chaos.run import Fault
from tests.services.postgres import PostgresProcess


def missing_for(fault: Fault) -> str | None:
    """Return what this machine lacks for a fault; None where it can be tried."""
    if (fault.disk_bytes or fault.kafka_disk) and os.geteuid() != 0:
        return "only root may mount a disk"
    if fault.preload and shutil.which("gcc") is None:
        return "there is no gcc to make the library with: `apt-get install gcc libc6-dev`"
    try:
        if fault.memory_group:
            with MemoryGroup(f"edgefleet-chaos-{os.getpid()}"):
                pass
        if fault.postgres:
            PostgresProcess()
    except ServiceUnavailable as error:
        return str(error)
    return None
