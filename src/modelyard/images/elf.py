"""What an ELF file says of itself: the processor it is for, what loads it, and the value of a number that it exports.

https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

_MACHINES = {3: "i686", 21: "ppc64le", 22: "s390x", 40: "armv7l", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
_LOAD, _INTERP, _DYNSYM = 1, 3, 11


class _Section(NamedTuple):
    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int


@dataclass(frozen=True)
class Elf:
    """An ELF file in memory, of 64 bits where more than its processor is asked for."""

    content: bytes

    @property
    def is_one(self) -> bool:
        """Whether it is an ELF file at all."""
        return self.content[:4] == b"\x7fELF" and len(self.content) >= 64

    @property
    def machine(self) -> str:
        """The processor, as `uname -m` spells it, else its number."""
        (number,) = struct.unpack_from(f"{self._order}H", self.content, 18)
        return _MACHINES.get(number, f"processor {number}")

    @property
    def loader(self) -> str | None:
        """The program that loads it, which is the C library's: /lib64/ld-linux-x86-64.so.2; None for a static one."""
        for kind, offset, _, size in self._segments():
            if kind == _INTERP:
                return self.content[offset : offset + size].rstrip(b"\0").decode(errors="replace")
        return None

    def number(self, name: str) -> int | None:
        """The eight bytes that it exports by a name."""
        wanted = name.encode() + b"\0"
        sections = list(self._sections())
        for symbols in (each for each in sections if each.kind == _DYNSYM):
            strings = sections[symbols.link]
            for place in range(symbols.offset, symbols.offset + symbols.size, 24):
                (label,) = struct.unpack_from(f"{self._order}I", self.content, place)
                if self.content.startswith(wanted, strings.offset + label):
                    address, size = struct.unpack_from(f"{self._order}QQ", self.content, place + 8)
                    return self._read_number(address) if size == 8 else None
        return None

    def _read_number(self, address: int) -> int | None:
        for kind, offset, start, size in self._segments():
            if kind == _LOAD and start <= address < start + size:
                (value,) = struct.unpack_from(f"{self._order}Q", self.content, offset + address - start)
                return int(value)
        return None

    def _segments(self) -> Iterator[tuple[int, int, int, int]]:
        """Of each: kind, offset in the file, address, size in the file."""
        if not self._is_64:
            return
        (start,) = struct.unpack_from(f"{self._order}Q", self.content, 32)
        each, count = struct.unpack_from(f"{self._order}HH", self.content, 54)
        for place in range(start, start + each * count, each or 1):
            kind, _, offset, address, _, size = struct.unpack_from(f"{self._order}IIQQQQ", self.content, place)
            yield kind, offset, address, size

    def _sections(self) -> Iterator[_Section]:
        if not self._is_64:
            return
        (start,) = struct.unpack_from(f"{self._order}Q", self.content, 40)
        each, count = struct.unpack_from(f"{self._order}HH", self.content, 58)
        for place in range(start, start + each * count, each or 1):
            yield _Section(*struct.unpack_from(f"{self._order}IIQQQQI", self.content, place))

    @property
    def _order(self) -> str:
        return ">" if self.content[5] == 2 else "<"

    @property
    def _is_64(self) -> bool:
        return self.content[4] == 2
