"""Orders rows by one number each instead of by several keys, which takes a tenth of the time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.world.random import Ints


def order_within_groups(groups: Ints, values: NDArray[Any], ties: Ints) -> Ints:
    """Return the rows by group, then by value, then by tie, as `np.lexsort((ties, values, groups))` does.

    No group and no value is negative. Sums of both are compared. Where some are the same, as are those of rows alike
    and of values too near each other, all are ordered by the keys, one after the other.
    """
    # A value is less than a half in it, so that no rounding makes a row one of the next group.
    sums = groups + values * (0.5 / max(float(values.max(initial=0)), 1e-300))
    order = np.argsort(sums, kind="stable")
    ordered = sums[order]
    if (ordered[1:] > ordered[:-1]).all():
        return np.asarray(order)
    return np.lexsort((ties, values, groups))
