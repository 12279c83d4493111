"""Reads a clean QR code module by module (ISO/IEC 18004): one byte segment, no errors to correct."""

from collections.abc import Iterator, Sequence
from typing import Any

from segno import consts

Matrix = Sequence[Sequence[int]]
_FORMAT_MASK = 0b101010000010010
_LEVELS = {0b01: "L", 0b00: "M", 0b11: "Q", 0b10: "H"}
_MASKS = (
    lambda row, column: (row + column) % 2,
    lambda row, column: row % 2,
    lambda row, column: column % 3,
    lambda row, column: (row + column) % 3,
    lambda row, column: (row // 2 + column // 3) % 2,
    lambda row, column: row * column % 2 + row * column % 3,
    lambda row, column: (row * column % 2 + row * column % 3) % 2,
    lambda row, column: ((row + column) % 2 + row * column % 3) % 2,
)


def read(matrix: Matrix) -> tuple[str, bytes]:
    """The level of correction and the bytes inside."""
    size = len(matrix)
    version = (size - 17) // 4
    level, mask = _format(matrix)
    function = _function_modules(size, version)
    bits = [
        matrix[row][column] ^ (not _MASKS[mask](row, column))
        for row, column in _path(size)
        if (row, column) not in function
    ]
    data = _data(_codewords(bits), version, level)
    stream = "".join(f"{byte:08b}" for byte in data)
    assert stream[:4] == "0100", "a byte segment"
    start = 4 + (8 if version < 10 else 16)
    length = int(stream[4:start], 2)
    found = (stream[at : at + 8] for at in range(start, start + 8 * length, 8))
    return level, bytes(int(byte, 2) for byte in found)


def _format(matrix: Matrix) -> tuple[str, int]:
    cells = [(8, column) for column in (0, 1, 2, 3, 4, 5, 7, 8)]
    cells += [(row, 8) for row in (7, 5, 4, 3, 2, 1, 0)]
    bits = int("".join(str(matrix[row][column]) for row, column in cells), 2) ^ _FORMAT_MASK
    return _LEVELS[bits >> 13], bits >> 10 & 0b111


def _function_modules(size: int, version: int) -> set[tuple[int, int]]:
    """Finders, format, timing, alignment, version: everything that carries no data."""
    found = (
        set(_block(0, 0, 9, 9)) | set(_block(0, size - 8, 9, 8)) | set(_block(size - 8, 0, 8, 9))
    )
    found |= {(6, at) for at in range(size)} | {(at, 6) for at in range(size)}
    centres = _alignment(version)
    corners = {(6, 6), (6, size - 7), (size - 7, 6)}
    for centre in {(row, column) for row in centres for column in centres} - corners:
        found |= set(_block(centre[0] - 2, centre[1] - 2, 5, 5))
    if version >= 7:
        found |= set(_block(0, size - 11, 6, 3)) | set(_block(size - 11, 0, 3, 6))
    return found


def _block(row: int, column: int, rows: int, columns: int) -> Iterator[tuple[int, int]]:
    for down in range(rows):
        for right in range(columns):
            yield row + down, column + right


def _alignment(version: int) -> list[int]:
    if version == 1:
        return []
    number, last = version // 7 + 2, 4 * version + 10
    step = 26 if version == 32 else (version * 4 + number * 2 + 1) // (number * 2 - 2) * 2
    return [6, *(last - at * step for at in range(number - 1))]


def _path(size: int) -> Iterator[tuple[int, int]]:
    """Pairs of columns from the right, up and down in turn; the timing column belongs to no pair."""
    rights = [column for column in range(size - 1, 0, -2) if column > 6]
    rights += [5, 3, 1]
    for turn, right in enumerate(rights):
        rows = range(size - 1, -1, -1) if turn % 2 == 0 else range(size)
        for row in rows:
            yield row, right
            yield row, right - 1


def _codewords(bits: Sequence[int]) -> list[int]:
    whole = len(bits) // 8 * 8
    return [
        int("".join(str(int(bit)) for bit in bits[at : at + 8]), 2) for at in range(0, whole, 8)
    ]


def _data(codewords: Sequence[int], version: int, level: str) -> list[int]:
    """The data of the blocks one after the other: they are stored in turns."""
    tables: Any = consts.ECC
    table = tables[version][getattr(consts, f"ERROR_LEVEL_{level}")]
    lengths = [info.num_data for info in table for _ in range(info.num_blocks)]
    blocks: list[list[int]] = [[] for _ in lengths]
    stored = iter(codewords)
    for at in range(max(lengths)):
        for block, length in zip(blocks, lengths, strict=True):
            if at < length:
                block.append(next(stored))
    return [codeword for block in blocks for codeword in block]
