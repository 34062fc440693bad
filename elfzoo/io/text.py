"""Text files of numbers: a head read line by line, then millions of values, with every complaint at its line."""

from __future__ import annotations

import functools
import math
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from elfzoo.errors import FieldFileError
from elfzoo.io.files import read_bytes

__all__ = ["Head", "number_lines"]

VALUE = b" %15.8E"  # nine significant digits: float32 comes back bit for bit
_NUMBER = re.compile(rb"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|nan|inf|infinity)", re.IGNORECASE)
_LETTER_D = re.compile(rb"(?<=[\d.])[dD](?=[-+]?\d)")
_NO_LETTER = re.compile(rb"(?<=\d)(?=[-+]\d{3}(?!\d))")
# older releases only warn, and to turn a warning into an error is to do so in every other thread
_FROMSTRING_RAISES = np.lib.NumpyVersion(np.__version__) >= "2.4.0"


class Head:
    """A cursor over the first lines of a text file; :meth:`values` reads all that follows.

    Attributes:
        path: the file.
        line: number of the line read last, from 1.
    """

    def __init__(self, path: Path):
        self.path, self.line = path, 0
        self._data, self._offset = read_bytes(path).removeprefix(BOM_UTF8), 0

    def error(self, cause: str) -> FieldFileError:
        """An error that names the file and the line read last."""
        return FieldFileError(f"{self.path}, line {self.line}: {cause}")

    def next(self, expected: str) -> str:
        """The next line, stripped; ``expected`` tells the user what is missing where the file ends too early."""
        if self._offset >= len(self._data):
            raise self.error(f"the file ends here; expected {expected}")
        end = self._data.find(b"\n", self._offset)
        end = len(self._data) if end < 0 else end
        text = self._data[self._offset : end].decode("latin-1").strip()
        self._offset, self.line = end + 1, self.line + 1
        return text

    def next_filled(self, expected: str) -> str:
        """The next line that is not blank, stripped."""
        while not (text := self.next(expected)):
            pass
        return text

    def numbers(self, text: str, count: int, expected: str) -> list[float]:
        """The first ``count`` numbers of a line that was read last."""
        words = text.split()[:count]
        try:
            numbers = [float(_e_exponents(word.encode("latin-1"))) for word in words]
        except ValueError:
            numbers = []
        if len(numbers) < count:
            raise self.error(f"expected {expected}; got {text[:60]!r}")
        return numbers

    def integers(self, text: str, count: int, expected: str) -> list[int]:
        """The first ``count`` integers of a line that was read last."""
        words = text.split()[:count]
        if len(words) < count or not all(re.fullmatch(r"[-+]?\d{1,9}", word) for word in words):
            raise self.error(f"expected {expected}; got {text[:60]!r}")
        return [int(word) for word in words]

    def values(self, end: bytes | None = None) -> Float[np.ndarray, " values"]:
        """All numbers that follow, up to the word ``end`` or the end of the file.

        Raises:
            FieldFileError: something is no number, or ``end`` is missing.
        """
        stop = len(self._data) if end is None else self._data.find(end, self._offset)
        if stop < 0:
            self.line = self._data.count(b"\n") + 1
            raise self.error(f"the file ends here; expected {end.decode() if end else ''}")
        data = self._data[self._offset : stop]
        self._offset = stop
        if not data or data.isspace():
            return np.zeros(0)
        for attempt in (lambda: data, lambda: _e_exponents(data)):
            try:
                return _parse(attempt())
            except ValueError:  # a word that is no number
                continue
        raise self._first_bad_word(data)

    def grid_values(
        self, shape: Sequence[int], order: Literal["C", "F"], end: bytes | None = None
    ) -> Float[np.ndarray, "nx ny nz"]:
        """The numbers that follow, on their grid: z fastest for order "C", x fastest for "F".

        Raises:
            FieldFileError: as :meth:`values`, or too few or too many numbers.
        """
        values = self.values(end)
        if len(values) != math.prod(shape):
            raise FieldFileError(
                f"{self.path}: {len(values)} numbers after line {self.line}; expected {math.prod(shape)} for the grid "
                f"{list(shape)} (a truncated file?)"
            )
        return values.reshape(shape, order=order)

    def rest(self) -> bytes:
        """What was not read yet."""
        return self._data[self._offset :]

    def _first_bad_word(self, data: bytes) -> FieldFileError:
        for number, line in enumerate(_e_exponents(data).split(b"\n"), start=1):
            for word in line.split():
                if not _NUMBER.fullmatch(word):
                    self.line += number
                    return self.error(f"expected a number; got {word[:40].decode('latin-1')!r}")
        return self.error("expected numbers in what follows")


def number_lines(values: Float[np.ndarray, " values"], per_line: int, row_length: int | None = None) -> Iterator[bytes]:
    """Lines of ``per_line`` numbers in nine significant digits; every ``row_length`` numbers a new line begins."""
    step = row_length or 1000 * per_line
    for start in range(0, len(values), step):
        row = values[start : start + step].tolist()
        yield _row_format(len(row), per_line) % tuple(row)


@functools.lru_cache(maxsize=16)
def _row_format(length: int, per_line: int) -> bytes:
    full, rest = divmod(length, per_line)
    return (VALUE * per_line + b"\n") * full + (VALUE * rest + b"\n" if rest else b"")


def _parse(data: bytes) -> Float[np.ndarray, " values"]:
    if _FROMSTRING_RAISES:
        return np.fromstring(data, sep=" ")
    return np.array(data.split(), dtype=np.float64)


def _e_exponents(data: bytes) -> bytes:
    """Fortran's 0.1D-03 and 0.1-103 (three digits push the letter out) as everyone else writes them."""
    return _NO_LETTER.sub(b"E", _LETTER_D.sub(b"E", data))
