"""A part of a fleet: pure arithmetic on the numbers of its devices, so any launcher can hand it out."""

from dataclasses import dataclass

from edgewire.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Shard:
    """Every `count`-th device, from device `index`: what one process of several takes care of."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `i/n`, such as `0/3`; raises `ConfigError`."""
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            raise ConfigError(f"shard '{text}': write i/n with i from 0 to n-1, such as 0/3")
        return cls(int(index), int(count))

    def number(self, position: int) -> int:
        """The number in the whole scenario of the device at this position of the shard."""
        return self.index + position * self.count

    def part(self, index: int, count: int) -> "Shard":
        """One of `count` parts of this shard."""
        return Shard(self.number(index), self.count * count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"
