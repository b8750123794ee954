"""What one boot of a device emitted, and what became of it."""

from devices.firmware.outbox import SeqRanges


class Account:
    """Readings are numbered from the first to the last without a gap; each is acknowledged, dropped or still unsent."""

    __slots__ = ("acknowledged", "boot", "dropped", "first_seq", "last_seq", "uncertain")

    def __init__(self, boot: int) -> None:
        self.boot = boot
        self.first_seq: int | None = None
        self.last_seq: int | None = None
        self.acknowledged = 0
        self.dropped = SeqRanges()
        self.uncertain = SeqRanges()
        """Sent, and never acknowledged before a reset or the end: may have arrived or not."""

    def take(self, seq: int) -> None:
        """A reading was taken."""
        if self.first_seq is None:
            self.first_seq = seq
        self.last_seq = seq

    @property
    def emitted(self) -> int:
        """How many readings were taken."""
        if self.first_seq is None or self.last_seq is None:
            return 0
        return self.last_seq - self.first_seq + 1
