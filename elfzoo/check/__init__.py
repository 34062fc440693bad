"""A linter for DFT fields: what is wrong, or may mislead, in somebody's ELF file, and what to do about it."""

from elfzoo.check.espresso import fix_qe_elf
from elfzoo.check.finding import Finding
from elfzoo.check.linter import check_field, check_file

__all__ = ["Finding", "check_field", "check_file", "fix_qe_elf"]
