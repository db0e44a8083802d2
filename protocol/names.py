"""Names that members give themselves, beyond what every line of text must be."""

import unicodedata
from typing import Final

ADMIN_MARK: Final = "(admin)"
"""Shown behind the owner's name where a dialect has nothing better."""

NOT_ADMIN: Final = "must not end in (admin): so is shown who the admin is"


def looks_like_admin(name: str) -> bool:
    """Tell whether a name, which is short, would be read as that of an admin."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    # Blanks and invisible characters (categories Z and C) do not make a difference to the eye.
    seen = "".join(each for each in plain if unicodedata.category(each)[0] not in "ZC")
    return seen.endswith(ADMIN_MARK)
