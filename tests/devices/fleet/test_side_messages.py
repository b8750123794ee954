"""What is said beside the numbered messages of devices is kept, as long as there is room."""

from pathlib import Path

import orjson
import pytest

from devices.fleet.side_messages import LONGEST, MOST_OF_A_DEVICE, SideMessageRecorder
from edgewire.run_record import RunRecord, SideMessage, parse_record
from tests.devices.fleet.standby_place import Place
from tests.devices.fleet.test_standby_dialects import SPEAKERS, ask, place
from tests.run_records import run_record


def test_what_a_device_answers_with_readings_is_kept_with_its_topic() -> None:
    there, recorder = place(SPEAKERS["tasmota"]), SideMessageRecorder()
    there.owner.on_asked_for = lambda client, at_ms, one: recorder.record(
        client, at_ms, one.topic, one.payload, is_answer=True
    )
    ask(there, "cmnd/d/TelePeriod", b"")
    assert [one.topic for one in recorder.messages] == ["stat/d/RESULT", "tele/d/STATE", "tele/d/SENSOR"]
    assert "BME280" in recorder.messages[2].payload
    ask(there, "cmnd/d/TelePeriod", b"20")
    ask(there, "cmnd/d/Power", b"")
    assert len(recorder.messages) == 3, "nobody asked for a reading"
    there.lose()
    ask(there, "cmnd/d/STATUS", b"8")
    assert len(recorder.messages) == 3, "it has said nothing"


def test_what_a_sensor_says_is_kept_but_not_of_its_birth_and_will() -> None:
    speaker = SPEAKERS["shelly"]
    there = place(speaker)
    topic = there.client.reading_topics[-1]
    there.hear_elsewhere(there.client.status_topic, b"true")
    there.hear_elsewhere(there.client.status_topic, b"true")
    there.hear_elsewhere(topic, speaker.reading)
    calls = [call.args[1:] for call in there.owner.on_foreign_message.call_args_list]
    assert calls == [(topic, speaker.reading)]
    assert there.client.absence is not None
    there.client.on_watching_ended()
    assert there.owner.on_unheard.call_count == 1


@pytest.mark.parametrize("name", ["edgefleet", "edgefleet, to Home Assistant"])
def test_what_has_an_id_is_not_kept(name: str) -> None:
    recorder, client = SideMessageRecorder(), place(SPEAKERS[name]).client
    recorder.record(client, 0, "t", b"x", is_answer=True)
    recorder.record_unheard(client)
    assert (recorder.messages, recorder.left_out) == ([], {})


def test_there_is_room_for_so_many_and_the_rest_is_counted() -> None:
    recorder, client = SideMessageRecorder(), Place(**SPEAKERS["tasmota"].group).client
    for number in range(MOST_OF_A_DEVICE + 3):
        recorder.record(client, number, "t", b"\xff", is_answer=False)
    recorder.record(client, 0, "t", b"x" * (LONGEST + 1), is_answer=False)
    assert len(recorder.messages) == MOST_OF_A_DEVICE
    assert recorder.left_out == {"d": 4}


def test_the_records_of_shards_keep_what_was_said_in_each() -> None:
    first, second = (run_record(), run_record())
    for index, record in enumerate((first, second)):
        record.shards = [(index, 2)]
        record.side_messages = [
            SideMessage(device_id=f"d-{index}", at_ms=5, topic="t", payload="\xff\x00", is_answer=bool(index))
        ]
        record.side_messages_left_out = {f"d-{index}": 2}
    joined = RunRecord.join([first, second])
    assert [one.device_id for one in joined.side_messages] == ["d-0", "d-1"]
    assert joined.side_messages_left_out == {"d-0": 2, "d-1": 2}
    assert orjson.loads(orjson.dumps(joined.side_messages))[0]["payload"].encode("latin-1") == b"\xff\x00"


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = run_record()
    record.side_messages = [SideMessage(device_id="d", at_ms=5, topic="t", payload="\xe4", is_answer=True)]
    path = record.save(tmp_path)
    assert parse_record(orjson.loads(path.read_bytes())).side_messages == record.side_messages
