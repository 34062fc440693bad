"""Field files: VASP ELFCAR, Gaussian cube, XCrySDen XSF, NumPy ``.npz`` and HDF5, plain or gzipped."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from elfzoo.errors import ElfzooError, ElfzooWarning, FieldFileError
from elfzoo.field import Field
from elfzoo.io import cube, elfcar, hdf5, npz, xsf
from elfzoo.io.content import names_another
from elfzoo.io.files import FORMATS, format_of
from elfzoo.quantity import quantity_of

__all__ = ["FORMATS", "read_field", "read_fields", "write_field", "write_fields"]

RANGE_TOLERANCE = 1e-3  # interpolation and rounding in DFT codes overshoot [0, 1] by less
EQUAL_CHANNELS = 1e-5  # the digits that VASP writes: channels closer than this are one unpolarised ELF

_MODULES = {"elfcar": elfcar, "cube": cube, "xsf": xsf, "npz": npz, "hdf5": hdf5}


def read_field(
    path: str | Path,
    spin: Literal["up", "down"] | None = None,
    format: str | None = None,
    species: Sequence[str] | None = None,
    check: bool = True,
) -> Field:
    """Read one field.

    Args:
        path: the file; its name decides the format (see :data:`FORMATS`).
        spin: which channel of a spin-polarised ELFCAR; not needed where both are equal within 1e-5, and the field is
            then returned without a spin.
        format: a name in :data:`FORMATS`, for files with other names.
        species: see :func:`read_fields`.
        check: see :func:`read_fields`; of the channel asked for alone.

    Raises:
        FieldFileError: as :func:`read_fields`, or when the file does not hold the channel asked for.
    """
    fields = read_fields(path, format=format, species=species, check=check and spin is None)
    if spin is not None:
        if spin not in fields:
            raise FieldFileError(f"{path} has no channel {spin!r}; it holds: {', '.join(fields)}")
        if check:
            _check_values(fields[spin], Path(path))
        return fields[spin]
    if len(fields) == 1:
        return next(iter(fields.values()))
    if np.abs(fields["up"].values - fields["down"].values).max() <= EQUAL_CHANNELS:
        return fields["up"].replace(spin=None, meta={**fields["up"].meta, "spin": "none"})
    raise FieldFileError(
        f"{path} holds two spin channels that differ, and neither is a total; choose spin='up' or spin='down'"
    )


def read_fields(
    path: str | Path, format: str | None = None, species: Sequence[str] | None = None, check: bool = True
) -> dict[str, Field]:
    """Read every channel of a field file: ``{"total": ...}``, or ``"up"`` and ``"down"`` (or one of them).

    Args:
        path: the file; its name decides the format (see :data:`FORMATS`).
        format: a name in :data:`FORMATS`, for files with other names.
        species: element symbols by species index, for files that do not name their elements: a VASP 4 ELFCAR and a
            cube with species indices in place of atomic numbers.
        check: refuse values that are not finite and, for an ELF, outside [0, 1] by more than 1e-3. Values within that
            tolerance are kept as they are. A linter passes False and reports for itself.

    Raises:
        FieldFileError: the file is missing, damaged, truncated, non-finite or out of range.
        ElfzooError: no format has such a name.
    """
    path = Path(path)
    if not path.exists():  # before its name is looked at
        raise FieldFileError(f"no such field file: {path}")
    if path.is_dir():
        raise FieldFileError(f"cannot read {path}: Is a directory; expected a field file")
    name = format_of(path, format)
    try:
        fields = _MODULES[name].read(path, species)
    except FieldFileError:
        raise
    except ElfzooError as error:  # a structure or a grid that cannot be: the file must be named
        raise FieldFileError(f"{path}: {error}") from error
    if check:
        for channel in fields.values():
            _check_values(channel, path)
    return fields


def write_field(field: Field, path: str | Path, format: str | None = None) -> Path:
    """Write one field and return the path. The file appears whole or not at all.

    Text formats carry nine significant digits (``%.8E``: exact for float32), ``.npz`` and HDF5 the values' own type.

    Raises:
        FieldFileError: the file cannot be written; a file that was there before is left as it was.
        ElfzooError: no format has such a name.
    """
    path = Path(path)
    _MODULES[format_of(path, format)].write({field.spin or "total": field}, path)
    return path


def write_fields(fields: Mapping[str, Field], path: str | Path, format: str | None = None) -> Path:
    """Write ``{"up": ..., "down": ...}`` into one spin-polarised ELFCAR, or a mapping of one field into any format.

    Raises:
        FieldFileError: the file cannot be written.
        ElfzooError: other keys, channels of different grids or structures, or a format that holds one channel.
    """
    path = Path(path)
    name = format_of(path, format)
    if len(fields) == 1:
        ((channel, field),) = fields.items()
        if (field.spin or "total") != channel:
            raise ElfzooError(f"the field for {channel!r} is of the channel {field.spin or 'total'!r}")
        return write_field(field, path, format=format)
    if set(fields) != {"up", "down"}:
        raise ElfzooError(f"expected the channels up and down, or one field; got {', '.join(fields) or 'none'}")
    if name != "elfcar":
        raise ElfzooError(f"{path}: {name} holds one channel; write up and down to two files, or to one ELFCAR")
    _refuse_mixed_channels(fields["up"], fields["down"])
    elfcar.write({"up": fields["up"], "down": fields["down"]}, path)
    return path


def _refuse_mixed_channels(up: Field, down: Field) -> None:
    up.require_same_recipe(down)
    down.require_quantity(up.quantity, "the channel down")
    first, second = up.structure, down.structure
    same_atoms = first.atomic_numbers == second.atomic_numbers and np.allclose(
        first.frac_coords, second.frac_coords, atol=1e-6
    )
    if not same_atoms or not np.allclose(first.lattice.matrix, second.lattice.matrix, atol=1e-6):
        raise ElfzooError("the channels up and down belong to different structures")
    if up.values.shape != down.values.shape:
        raise ElfzooError(f"the channels up and down have different grids: {up.values.shape} and {down.values.shape}")


def _check_values(field: Field, path: Path) -> None:
    """Refuse NaN, infinity and, for an ELF, what no rounding explains."""
    values = field.values
    channel = f" of channel {field.spin}" if field.spin else ""
    finite = np.isfinite(values)
    if not finite.all():
        point = tuple(int(i) for i in np.unravel_index(int(np.argmin(finite)), values.shape))
        raise FieldFileError(
            f"{path}: value {values[point]} at grid point {point}{channel}; expected finite numbers "
            f"({values.size - np.count_nonzero(finite)} of {values.size} are not)"
        )
    if quantity_of(field.quantity).bounds is None:
        return
    if other := names_another(str(field.meta.get("comment", ""))):
        warnings.warn(f"{path}: its title says {other!r}; it is read as an ELF", ElfzooWarning, stacklevel=4)
    excess = np.abs(values - 0.5) - 0.5
    point = tuple(int(i) for i in np.unravel_index(int(np.argmax(excess)), values.shape))
    if excess[point] > RANGE_TOLERANCE:
        raise FieldFileError(
            f"{path}: value {values[point]:.6g} at grid point {point}{channel}; an ELF lies within [0, 1] "
            f"(tolerance {RANGE_TOLERANCE}; {np.count_nonzero(excess > RANGE_TOLERANCE)} of {values.size} do not)"
        )
