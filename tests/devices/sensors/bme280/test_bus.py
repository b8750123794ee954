"""The emulated bus against smbus2: the same interface, and the transfers of the chip's data sheet."""

import errno
import inspect

import numpy as np
import pytest
import smbus2

from devices.sensors.base import Population
from devices.sensors.bme280.bus import EmulatedBus
from devices.sensors.bme280.registers import Bme280Registers
from devices.sensors.bme280.sensor import Bme280Sensor, Bme280Settings
from devices.world.world import Site, World
from edgewire.clock import parse_ms

ADDRESS, CTRL_HUM, CTRL_MEAS, CONFIG, ID = 0x76, 0xF2, 0xF4, 0xF5, 0xD0


@pytest.fixture(params=[1, 2])
def bus(request: pytest.FixtureRequest) -> EmulatedBus:
    world = World.build(7, [Site(name="a", latitude=48, longitude=2)], version=request.param)
    here = Population(np.arange(1).astype(np.uint64), np.array([0]), np.array([10_000]), np.array([0]))
    sensor = Bme280Sensor(Bme280Settings(), here)
    now_ms = float(parse_ms("2026-03-02T12:00:00Z"))
    return EmulatedBus({ADDRESS: Bme280Registers.for_device(sensor, world, 0, lambda: now_ms)})


def test_it_has_every_public_name_of_smbus2_with_the_same_parameters() -> None:
    for name, member in inspect.getmembers(smbus2.SMBus):
        if name.startswith("_"):
            continue
        assert hasattr(EmulatedBus, name), name
        ours = getattr(EmulatedBus, name)
        if callable(member):
            expected = [(one.name, one.kind, one.default) for one in inspect.signature(member).parameters.values()]
            assert [
                (one.name, one.kind, one.default) for one in inspect.signature(ours).parameters.values()
            ] == expected, name
        else:
            assert isinstance(ours, property)
            assert ours.fset is not None


def test_blocks_are_pairs_of_register_and_value(bus: EmulatedBus) -> None:
    bus.write_i2c_block_data(ADDRESS, CTRL_HUM, [3, CONFIG, 0x10, CTRL_MEAS, 0x24])
    assert [bus.read_byte_data(ADDRESS, one) for one in (CTRL_HUM, CONFIG, CTRL_MEAS)] == [3, 0x10, 0x24]
    bus.write_i2c_block_data(ADDRESS, CTRL_HUM, [5])
    assert bus.read_byte_data(ADDRESS, CTRL_HUM) == 5
    with pytest.raises(ValueError, match="32"):
        bus.write_i2c_block_data(ADDRESS, CTRL_HUM, [0] * 33)


def test_reads_go_on_from_the_address_written_last(bus: EmulatedBus) -> None:
    bus.write_byte(ADDRESS, ID)
    assert bus.read_byte(ADDRESS) == 0x60
    assert bus.process_call(ADDRESS, CTRL_HUM, ID << 8 | 2) & 0xFF == 0x60
    assert bus.read_byte_data(ADDRESS, CTRL_HUM) == 2
    bus.write_word_data(ADDRESS, CTRL_HUM, ID << 8 | 1)
    assert bus.read_byte(ADDRESS) == 0x60


def test_combined_messages_read_as_blocks_do(bus: EmulatedBus) -> None:
    read = smbus2.i2c_msg.read(ADDRESS, 24)
    bus.i2c_rdwr(smbus2.i2c_msg.write(ADDRESS, [0x88]), read)
    assert list(read) == bus.read_i2c_block_data(ADDRESS, 0x88, 24)
    bus.i2c_rdwr(smbus2.i2c_msg.write(ADDRESS, [CTRL_HUM, 4]))
    assert bus.read_byte_data(ADDRESS, CTRL_HUM) == 4


def test_smbus_blocks_have_their_length_first(bus: EmulatedBus) -> None:
    bus.write_block_data(ADDRESS, CTRL_HUM, [CONFIG, 0x10])
    # The chip takes the length for the value.
    assert bus.read_byte_data(ADDRESS, CTRL_HUM) == 2
    assert bus.read_byte_data(ADDRESS, CONFIG) == 0x10
    with pytest.raises(OSError, match=r"essage|rotocol") as raised:
        bus.read_block_data(ADDRESS, ID)
    assert raised.value.errno == errno.EPROTO
    bus.write_i2c_block_data(ADDRESS, CTRL_HUM, [2])
    assert len(bus.read_block_data(ADDRESS, CTRL_HUM)) == 2


def test_a_chip_without_error_codes_fails_where_they_are_asked_for(bus: EmulatedBus) -> None:
    bus.pec = True
    assert bus.pec == 1
    with pytest.raises(OSError, match=r"essage|rotocol") as raised:
        bus.read_byte_data(ADDRESS, ID)
    assert raised.value.errno == errno.EBADMSG
    assert bus.read_i2c_block_data(ADDRESS, ID, 1) == [0x60]
    bus.enable_pec(False)
    assert bus.read_byte_data(ADDRESS, ID) == 0x60


def test_nobody_else_is_on_it_and_it_closes(bus: EmulatedBus) -> None:
    bus.write_quick(ADDRESS)
    with pytest.raises(OSError, match="Remote"):
        bus.write_quick(0x40)
    with bus:
        pass
    with pytest.raises(OSError, match="descriptor"):
        bus.write_quick(ADDRESS)
    bus.open(1)
    bus.write_quick(ADDRESS)
