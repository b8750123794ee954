"""What has to be done about an answer is decided once for all clients."""

import pytest

from edgewire.http_status import StatusClass, classify_status


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((200, 201, 204), StatusClass.TAKEN),
        ((400, 413, 414, 422, 431), StatusClass.DATA_REFUSED),
        ((409, 412), StatusClass.CONFLICT),
        ((408, 423, 425, 429, 500, 502, 503, 599), StatusClass.TRY_AGAIN),
        ((101, 301, 307, 401, 403, 404, 405, 410, 415), StatusClass.NEEDS_OPERATOR),
    ],
)
def test_a_status_says_what_has_to_be_done(statuses: tuple[int, ...], expected: StatusClass) -> None:
    assert {classify_status(status) for status in statuses} == {expected}
