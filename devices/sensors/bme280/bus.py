"""An I²C bus with emulated chips on it, that drivers take for `smbus2.SMBus`: its whole interface, by the same names.

What a transfer means is the chip's data sheet's (section 6.2): the first byte written is a register's address, a value
follows, and then further pairs of the two; a read begins at the address written last and goes up from there.
"""

import errno
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from devices.sensors.bme280.registers import EREMOTEIO, Bme280Registers

_BLOCK_MOST = 32
"""Bytes of an SMBus block."""
_I2C_M_RD = 0x0001
"""Flag of a message that reads, as in Linux's i2c.h."""
_EBADMSG: int = getattr(errno, "EBADMSG", errno.EIO)
_EPROTO: int = getattr(errno, "EPROTO", errno.EIO)


class EmulatedBus:
    """An I²C bus in the shape of `smbus2.SMBus`; where nobody acknowledges, all raise `OSError` 121.

    `force` is taken as there: no driver of the kernel holds an address of this bus.
    """

    def __init__(self, chips: Mapping[int, Bme280Registers]) -> None:
        """Chips by address: a BME280 answers to 0x76 or 0x77."""
        self._chips = chips
        self._pointers: dict[int, int] = {}
        self._is_open = True
        self._pec = False

    def __enter__(self) -> "EmulatedBus":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def open(self, bus: int | str) -> None:
        """Open the bus again; whatever its number, it has the same chips."""
        self._is_open = True

    def close(self) -> None:
        """Close the bus: every transfer raises `OSError` until it is opened again."""
        self._is_open = False

    @property
    def pec(self) -> int:
        """Tell whether packets have an error code; a BME280 gives none, so that reads fail as on a real bus."""
        return int(self._pec)

    @pec.setter
    def pec(self, enable: bool) -> None:
        self.enable_pec(enable)

    def enable_pec(self, enable: bool = True) -> None:
        """Turn packet error codes on or off."""
        self._pec = bool(enable)

    def write_quick(self, i2c_addr: int, force: bool | None = None) -> None:
        """Address a chip without data, as `i2cdetect` does: raises `OSError` where there is none."""
        self._write(i2c_addr, ())

    def read_byte(self, i2c_addr: int, force: bool | None = None) -> int:
        """Read the register at the address written last."""
        return self._checked_read(i2c_addr, 1)[0]

    def write_byte(self, i2c_addr: int, value: int, force: bool | None = None) -> None:
        """Write one byte: the address of the register that the next read begins at."""
        self._write(i2c_addr, (value,))

    def read_byte_data(self, i2c_addr: int, register: int, force: bool | None = None) -> int:
        """Read one register."""
        self._write(i2c_addr, (register,))
        return self._checked_read(i2c_addr, 1)[0]

    def write_byte_data(self, i2c_addr: int, register: int, value: int, force: bool | None = None) -> None:
        """Write one register."""
        self._write(i2c_addr, (register, value))

    def read_word_data(self, i2c_addr: int, register: int, force: bool | None = None) -> int:
        """Read two registers, the low byte first."""
        self._write(i2c_addr, (register,))
        low, high = self._checked_read(i2c_addr, 2)
        return high << 8 | low

    def write_word_data(self, i2c_addr: int, register: int, value: int, force: bool | None = None) -> None:
        """Write a value's low byte to a register; its high byte is the address that the next read begins at."""
        self._write(i2c_addr, (register, value & 0xFF, value >> 8 & 0xFF))

    def process_call(self, i2c_addr: int, register: int, value: int, force: bool | None = None) -> int:
        """Write a word and read one."""
        self.write_word_data(i2c_addr, register, value)
        low, high = self._checked_read(i2c_addr, 2)
        return high << 8 | low

    def read_block_data(self, i2c_addr: int, register: int, force: bool | None = None) -> list[int]:
        """Read a block whose length is its first byte; raises `OSError` where that is none from 1 to 32."""
        self._write(i2c_addr, (register,))
        return self._block(i2c_addr)

    def write_block_data(self, i2c_addr: int, register: int, data: Sequence[int], force: bool | None = None) -> None:
        """Write a block behind its length, which a BME280 takes for the value of the register."""
        self._write(i2c_addr, (register, len(data), *_block_of(data)))

    def block_process_call(
        self, i2c_addr: int, register: int, data: Sequence[int], force: bool | None = None
    ) -> list[int]:
        """Write a block behind its length, and read one behind its own."""
        self.write_block_data(i2c_addr, register, data)
        return self._block(i2c_addr)

    def read_i2c_block_data(self, i2c_addr: int, register: int, length: int, force: bool | None = None) -> list[int]:
        """Read up to 32 registers; raises `ValueError` for more."""
        if length > _BLOCK_MOST:
            raise ValueError(f"Desired block length over {_BLOCK_MOST} bytes")
        self._write(i2c_addr, (register,))
        return self._read(i2c_addr, length)

    def write_i2c_block_data(
        self, i2c_addr: int, register: int, data: Sequence[int], force: bool | None = None
    ) -> None:
        """Write a value to a register, and further pairs of an address and a value; `ValueError` beyond 32 bytes."""
        self._write(i2c_addr, (register, *_block_of(data)))

    def i2c_rdwr(self, *i2c_msgs: Any) -> None:
        """Do the transfers of `smbus2.i2c_msg` one after the other; what is read is put into the messages."""
        for message in i2c_msgs:
            if message.flags & _I2C_M_RD:
                for offset, byte in enumerate(self._read(message.addr, message.len)):
                    message.buf[offset] = bytes((byte,))
            else:
                self._write(message.addr, bytes(message))

    def _block(self, address: int) -> list[int]:
        count = self._checked_read(address, 1)[0]
        if not 0 < count <= _BLOCK_MOST:
            raise OSError(_EPROTO, "Protocol error")
        return self._read(address, count)

    def _checked_read(self, address: int, length: int) -> list[int]:
        """Read as SMBus does, where a chip that has no packet error code fails if one is asked for."""
        values = self._read(address, length)
        if self._pec:
            raise OSError(_EBADMSG, "Bad message")
        return values

    def _read(self, address: int, length: int) -> list[int]:
        first = self._pointers.get(address, 0)
        values = self._chip(address).read(first, length)
        self._pointers[address] = (first + length) & 0xFF
        return values

    def _write(self, address: int, data: Iterable[int]) -> None:
        chip, values = self._chip(address), [byte & 0xFF for byte in data]
        if not values:
            chip.read(0, 0)
        for register, value in zip(values[::2], values[1::2], strict=False):
            chip.write(register, value)
        if values:
            self._pointers[address] = values[(len(values) - 1) // 2 * 2]

    def _chip(self, address: int) -> Bme280Registers:
        if not self._is_open:
            raise OSError(errno.EBADF, "Bad file descriptor")
        if address not in self._chips:
            raise OSError(EREMOTEIO, "Remote I/O error")
        return self._chips[address]


def _block_of(data: Sequence[int]) -> Sequence[int]:
    if len(data) > _BLOCK_MOST:
        raise ValueError(f"Data length cannot exceed {_BLOCK_MOST} bytes")
    return data
