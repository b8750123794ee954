"""The control interface is what its OpenAPI says, whatever is asked."""

import asyncio
from pathlib import Path

import pytest

from tests.edgefleet.control.test_server import served
from tests.schemathesis_run import schemathesis

# Server-sent events have no end. And not checked is what is no mistake here:
NOT_CHECKED = [
    "unsupported_method",  # whoever could change something is looked at before it is known that nothing is there
    "positive_data_acceptance",  # a device, a site or a group that is made up is not there
    "negative_data_rejection",  # 0 for false and "5" for 5 are taken, as in the steps of a scenario, by the same models
    "not_a_server_error",  # 503 is documented, and asks to try again; 500 is not, and is found by that
]

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]


async def test_the_interface_is_what_its_openapi_says(tmp_path: Path) -> None:
    async with served(tmp_path) as (url, _):
        said = await asyncio.to_thread(
            schemathesis, url, tmp_path, examples=15, leave_out=["/v1/events"], checks=NOT_CHECKED
        )
        assert not said, said
