"""Public holidays of a country, by the package `holidays`."""

from functools import lru_cache
from types import ModuleType

import numpy as np

from devices.world.random import Flags, Ints


class PublicHolidays:
    """Those of one country or part of one."""

    def __init__(self, code: str) -> None:
        """`code` is that of ISO 3166; raises `ValueError` where the package does not know it, or is missing."""
        self._country, _, part = code.partition("-")
        self._part = part or None
        self._package = _package()
        try:
            self._package.country_holidays(self._country, subdiv=self._part, years=2000)
        except NotImplementedError:
            raise ValueError(
                f"has no holidays for '{code}'; write a country of ISO 3166 such as FR, or a part of it such as US-NY"
            ) from None
        self._years: dict[int, Ints] = {}

    @classmethod
    def of(cls, code: str) -> "PublicHolidays":
        """Return those of a code, made once."""
        return _known(code)

    def include(self, days: Ints) -> Flags:
        """Tell which of these days (since 1970-01-01) are holidays."""
        if not len(days):
            return np.zeros(0, dtype=np.bool_)
        years = days.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
        of_years = [self._days_of(year) for year in range(int(years.min()), int(years.max()) + 1)]
        return np.isin(days, np.concatenate(of_years))

    def _days_of(self, year: int) -> Ints:
        known = self._years.get(year)
        if known is None:
            found = self._package.country_holidays(self._country, subdiv=self._part, years=year)
            dates = np.array(sorted(date.isoformat() for date in found), dtype="datetime64[D]")
            known = self._years[year] = dates.astype(np.int64)
        return known


@lru_cache(64)
def _known(code: str) -> PublicHolidays:
    return PublicHolidays(code)


def _package() -> ModuleType:
    try:
        import holidays
    except ImportError:
        raise ValueError(
            "takes the package 'holidays' to know a country's: pip install 'edgefleet[holidays]'"
        ) from None
    return holidays
