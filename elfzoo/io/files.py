"""Files as bytes: gzip-transparent reading, writing whole or not at all, and the format that a name asks for."""

from __future__ import annotations

import contextlib
import gzip
import os
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType

from elfzoo.errors import ElfzooError, FieldFileError, UnknownNameError

__all__ = ["FORMATS", "append", "format_of", "read_bytes", "whole_file", "write_bytes"]

# Format -> file names, without .gz and whatever the case; the first match counts, so ELFCAR_01.cube is a cube.
FORMATS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "cube": ("*.cube", "*.cub"),
        "xsf": ("*.xsf",),
        "npz": ("*.npz",),
        "hdf5": ("*.h5", "*.hdf5"),
        "elfcar": ("*elfcar", "*.vasp", "elfcar*"),
    }
)
OTHER_COMPRESSION = (".bz2", ".xz", ".zst", ".zip", ".z", ".lzma", ".tgz", ".tar")
GZIP_MAGIC = b"\x1f\x8b"


def format_of(path: Path, format: str | None = None) -> str:
    """The name in :data:`FORMATS` that ``format`` or else the file's name asks for.

    Raises:
        ElfzooError: no format has such a name, or the file is compressed by something other than gzip.
    """
    if format is not None:
        if format not in FORMATS:
            raise UnknownNameError("field file format", format, FORMATS)
        return format
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(OTHER_COMPRESSION):
        raise ElfzooError(f"{path} is compressed in a way that is not supported; expected a plain file or .gz")
    for known, patterns in FORMATS.items():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            return known
    listing = "; ".join(f"{known}: {', '.join(patterns)}" for known, patterns in FORMATS.items())
    raise ElfzooError(f"the name of {path} tells no field file format; expected one of {listing} (each also .gz)")


def read_bytes(path: Path) -> bytes:
    """Content of a file, unpacked where it is gzipped (whatever its name).

    Raises:
        FieldFileError: missing, unreadable, empty, or a damaged or truncated gzip file.
    """
    try:
        data = path.read_bytes()
        if data.startswith(GZIP_MAGIC):
            data = gzip.decompress(data)
    except FileNotFoundError as error:
        raise FieldFileError(f"no such field file: {path}") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FieldFileError(f"{path} is a damaged or truncated gzip file: {error}") from error
    except OSError as error:
        raise FieldFileError(f"cannot read {path}: {error.strerror or error}") from error
    if not data:
        raise FieldFileError(f"{path} is empty; expected a field file")
    return data


def write_bytes(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a file whole or not at all, gzipped where its name ends in ``.gz``.

    Raises:
        FieldFileError: it cannot be written; what was there before is untouched and no temporary file is left.
    """
    with whole_file(path) as temporary:
        _write(temporary, chunks, compress=path.name.lower().endswith(".gz"))


def append(path: Path, content: bytes, durable: bool = True) -> None:
    """Add to the end of a file, made if needed, the whole content or nothing.

    Args:
        path: of the file, which nobody else writes to.
        content: to add.
        durable: it is on the disk when this returns, and else at the system's leisure.

    Raises:
        OSError: it cannot be written, such as on a full disk; the file is as it was.
    """
    with open(path, "ab", buffering=0) as handle:
        before = os.fstat(handle.fileno()).st_size
        try:
            left = memoryview(content)
            while left:
                left = left[handle.write(left) :]
            if durable:
                os.fsync(handle.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(handle.fileno(), before)
            raise


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` to write to, which takes its place when all went well and else is removed.

    Raises:
        FieldFileError: it cannot be written; what was there before is untouched and no temporary file is left.
    """
    target = Path(os.path.realpath(path))  # a symbolic link stays one
    if target.exists() and not target.is_file():
        raise FieldFileError(f"cannot write {path}: it is there, and no regular file")
    temporary = target.with_name(f".{target.name[:40]}.{uuid.uuid4().hex[:8]}.tmp")  # a name may be as long as it can
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        reason = error.strerror or error
        raise FieldFileError(f"cannot write {path}: {reason}; what was there before is unchanged") from error
    finally:
        with contextlib.suppress(OSError):  # nothing to remove where the folder itself is missing
            temporary.unlink()


def _write(path: Path, chunks: Iterable[bytes], compress: bool) -> None:
    with open(path, "xb") as raw:
        if not compress:
            raw.writelines(chunks)
            return
        # no name and no time inside: the same field gives the same bytes
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as packed:
            for chunk in chunks:
                packed.write(chunk)
