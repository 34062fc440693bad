"""What the titles of a text file call its values: a density within [0, 1] looks like an ELF, a channel like a total."""

from __future__ import annotations

import re

from elfzoo.check.finding import Finding
from elfzoo.field import Field
from elfzoo.io.content import names_another

__all__ = ["check_title"]

CHANNEL = re.compile(r"\b(spin|channel)[ =:_-]*(alpha|beta|up|down|1|2|s1|s2)\b|\bELF[ _-]*S[12]\b", re.IGNORECASE)


def check_title(field: Field) -> list[Finding]:
    """Finding ``title``, an error: the file calls its values something else than an ELF; ``spin-channel``: a channel.

    Args:
        field: an ELF; only what other programs wrote above the values is looked at (``comment`` in its metadata).
    """
    comment = str(field.meta.get("comment", ""))
    if other := names_another(comment):
        message = f"the file's title calls its values {other!r}, and they are read as an ELF"
        return [Finding("error", "title", message, "Export the ELF, or mend the title if that is what it is")]
    if field.spin is None and (channel := CHANNEL.search(comment)):
        message = f"the field is used as a total, but its title says {channel.group()!r}"
        remedy = "Use a calculation without spin polarisation where a total ELF is wanted"
        return [Finding("warning", "spin-channel", message, remedy)]
    return []
