"""The footer of a Parquet file: where its row groups are.

An export writes every row group as a file of its own in memory, appends its pages to the real file, and keeps its
footer with the offsets moved to where the pages are. So a file that was cut off anywhere can be gone on with, and no
page is read or written twice. pyarrow cannot move the offsets of a footer: it has them in Thrift's compact protocol,
which is copied here value by value.

https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from collections.abc import Sequence
from io import BytesIO

import pyarrow as pa
from pyarrow import parquet

MAGIC = b"PAR1"
_TAIL_BYTES = 8
"""Length of the footer and the magic number."""
_OFFSETS = frozenset(
    {
        (4, 5),  # row_groups, file_offset
        (4, 1, 2),  # row_groups, columns, file_offset
        (4, 1, 4),  # …, offset_index_offset
        (4, 1, 6),  # …, column_index_offset
        (4, 1, 3, 9),  # …, meta_data, data_page_offset
        (4, 1, 3, 10),  # …, index_page_offset
        (4, 1, 3, 11),  # …, dictionary_page_offset
        (4, 1, 3, 14),  # …, bloom_filter_offset
    }
)
"""Paths of field numbers from FileMetaData to every place in the file that a footer names."""
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)


def split(content: bytes) -> tuple[bytes, bytes]:
    """Pages and footer of a whole Parquet file."""
    length = int.from_bytes(content[-_TAIL_BYTES : -len(MAGIC)], "little")
    end = len(content) - _TAIL_BYTES - length
    return content[len(MAGIC) : end], content[end:-_TAIL_BYTES]


def moved(footer: bytes, by: int) -> bytes:
    """The footer of pages that are `by` bytes further behind in the file."""
    copy = _Copy(footer, by)
    copy.struct(())
    return bytes(copy.out)


def joined(footers: Sequence[bytes]) -> bytes:
    """The end of a file that has the row groups of all these footers, from the footer to the last byte."""
    found = [_parse(footer) for footer in footers]
    whole = found[0]
    for more in found[1:]:
        whole.append_row_groups(more)
    buffer = BytesIO()
    whole.write_metadata_file(buffer)
    return buffer.getvalue()[len(MAGIC) :]


def _parse(footer: bytes) -> parquet.FileMetaData:
    return parquet.read_metadata(pa.BufferReader(MAGIC + footer + len(footer).to_bytes(4, "little") + MAGIC))


class _Copy:
    """Copies Thrift values, adding `by` to the offsets among them."""

    def __init__(self, data: bytes, by: int) -> None:
        self._data, self._by, self._at = data, by, 0
        self.out = bytearray()

    def struct(self, path: tuple[int, ...]) -> None:
        """Copy a struct that is found along these field numbers."""
        field = 0
        while head := self._take(1)[0]:
            delta, kind = head >> 4, head & 15
            field = field + delta if delta else _signed(self._varint())
            if kind not in (_TRUE, _FALSE):  # a field that is a bool says its value by its kind
                self._value(kind, (*path, field))

    def _value(self, kind: int, path: tuple[int, ...]) -> None:
        if kind == _STRUCT:
            self.struct(path)
        elif kind in (_LIST, _SET):
            head = self._take(1)[0]
            for _ in range(head >> 4 if head >> 4 < 15 else self._varint()):
                self._value(head & 15, path)
        elif kind == _MAP:
            count = self._varint()
            kinds = self._take(1)[0] if count else 0
            for _ in range(count):
                self._value(kinds >> 4, path)
                self._value(kinds & 15, path)
        elif kind == _BINARY:
            self._take(self._varint())
        elif kind == _I64 and path in _OFFSETS:
            self._offset()
        elif kind in (_I16, _I32, _I64):
            self._varint()
        else:
            self._take(8 if kind == _DOUBLE else 1)

    def _take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        self._at += count
        self.out += taken
        return taken

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._take(1)[0]) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
        return value | byte << shift

    def _offset(self) -> None:
        written = len(self.out)
        offset = _signed(self._varint())
        if not offset:  # 0 stands for no offset: the magic number is there
            return
        del self.out[written:]
        rest = (offset + self._by) << 1
        while rest > 0x7F:
            self.out.append(rest & 0x7F | 0x80)
            rest >>= 7
        self.out.append(rest)


def _signed(zigzag: int) -> int:
    return zigzag >> 1 ^ -(zigzag & 1)
