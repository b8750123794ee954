"""Prints updates of shadows as the SDK of AWS IoT writes them again after it has read them."""

import json
import sys

from awsiot.iotshadow import ShadowDeltaUpdatedEvent, ShadowState, UpdateShadowRequest

given = json.load(sys.stdin)
again = [
    UpdateShadowRequest(
        state=ShadowState.from_payload(one["state"]), version=one.get("version"), client_token=one.get("clientToken")
    ).to_payload()
    for one in given["updates"]
]
delta = ShadowDeltaUpdatedEvent.from_payload(given["delta"])
json.dump({"again": again, "delta": [delta.state, delta.version]}, sys.stdout)
