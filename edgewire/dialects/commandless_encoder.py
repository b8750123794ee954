"""The base of encoders whose devices take no commands."""

from edgewire.dialects.encoder import CommandOutcome, DeviceNames, DialectCommand, Publication


class CommandlessEncoder:
    """Listens to nothing, and so answers nothing."""

    def command_topics(self, names: DeviceNames) -> tuple[str, ...]:
        """Return none."""
        return ()

    def answer_filters(self, names: DeviceNames) -> tuple[str, ...]:
        """Return none."""
        return ()

    def read_command(self, names: DeviceNames, topic: str, payload: bytes) -> DialectCommand | None:
        """Return none."""
        return None

    def answer(self, names: DeviceNames, command: DialectCommand, outcome: CommandOutcome) -> tuple[Publication, ...]:
        """Return nothing."""
        return ()
