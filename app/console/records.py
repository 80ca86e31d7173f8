"""Records that the service keeps with their bytes, and those of them that a form has chosen."""

from werkzeug.datastructures import MultiDict

from app.console.parts import Refusal
from app.models.jobs import MOST_ITEMS


def chosen(form: MultiDict[str, str]) -> list[int]:
    """Return the ids that the form names, frozen when it was shown. Raises Refusal if it names none, or too many."""
    named = form.getlist("id")
    if not named or not all(one.isascii() and one.isdigit() and len(one) <= 18 for one in named):
        raise Refusal(400, "Choose at least one.")
    if len(named) > MOST_ITEMS:
        raise Refusal(400, f"These are {len(named)}: choose {MOST_ITEMS} at most.")
    return sorted({int(one) for one in named})


def text_of(data: bytes | None) -> str | None:
    """Return the bytes as a person reads them; what is no UTF-8 stands as \\xNN."""
    return None if data is None else data.decode(errors="backslashreplace")
