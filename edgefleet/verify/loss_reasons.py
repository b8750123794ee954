"""Says why something is missing that somebody has given up: dead letters that were dropped, a drained bridge."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from edgewire.clock import iso_ms
from edgewire.run_record import ActionRecord

_NAMED = 20


def loss_reasons(
    actions: Sequence[ActionRecord], sink: str, missing_of: Callable[[Iterable[str]], Sequence[str]]
) -> Iterator[str]:
    """Yield sentences; `missing_of` returns those of some messages that are missing in this sink."""
    for action in actions:
        if action.action == "drop_dead_letters":
            missing = missing_of(action.messages.get(sink, ()))
            if missing:
                more = ", …" if len(missing) > _NAMED else ""
                yield (
                    f"{len(missing):,} of those missing were dead letters, and dropped by action {action.number}: "
                    f"{', '.join(missing[:_NAMED])}{more}"
                )
        elif action.action == "bridge_drain" and action.outcome == "done":
            yield (
                f"the bridge was drained at {iso_ms(action.at_ms)} by action {action.number}: what was sent later had "
                "nobody to receive it"
            )
