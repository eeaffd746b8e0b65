"""Keys: read from the environment, sent to servers, and shown and stored nowhere."""

from __future__ import annotations

import base64
import html
import os
import re
from collections.abc import Iterable, Iterator
from urllib.parse import SplitResult, quote, quote_plus, unquote, urlsplit

from lrrecsys_core.errors import InputError

HIDDEN = "***"
VARIABLES = ("LRRECSYS_API_KEY", "OPENAI_API_KEY")
NO_WORD = 16  # letters from which on a key cannot be a word that an answer has by chance, as "none" or "test" can
LONG_PART = 6  # letters from which on what is said behind the "?" of an address may be a key


def read_key() -> str:
    """The key in the environment without white space around it; "" where there is none.

    Raises
    ------
    InputError
        When it holds what no header may: control characters, or any beyond ASCII.
    """
    for name in VARIABLES:
        key = os.environ.get(name, "").strip()
        odd = next((place for place, sign in enumerate(key, 1) if not " " <= sign <= "~"), 0)
        if odd:
            raise InputError(
                f"{name} holds a character that no key has, a control character or one beyond ASCII, at place {odd} "
                f"of {len(key)}: copy the key again"
            )
        if key:
            return key
    return ""


def authorization(url: str, key: str) -> tuple[SplitResult, str]:
    """An address without user and password, and the header that carries these, or else the key."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    pair = unquote(user) if ":" in user else f"{unquote(user)}:"
    header = f"Basic {base64.b64encode(pair.encode()).decode()}" if at else f"Bearer {key or 'none'}"
    return parts._replace(netloc=host, fragment=""), header


class Mask:
    """Hides keys in whatever form a server or a library quotes them.

    Parameters
    ----------
    key
        As sent.
    urls
        Addresses, which may hold keys as well.
    """

    def __init__(self, key: str, urls: Iterable[str] = ()) -> None:
        words = {key, *(word for url in urls for word in _keys_in(url))} - {""}
        forms = {form for word in words for form in _forms(word)}
        self._any = _pattern(forms)
        self._sure = _pattern({form for form in forms if len(form) >= NO_WORD})

    def complaint(self, text: str) -> str:
        """A server's or a library's words without any key; to be cut only afterwards."""
        return self._any.sub(HIDDEN, text)

    def answer(self, text: str) -> str:
        """An answer without any key that is no ordinary word."""
        return self._sure.sub(HIDDEN, text)


def _keys_in(url: str) -> Iterator[str]:
    """What may be a key in an address: the password, or a user without one, and all that is long enough behind it."""
    parts, header = authorization(url, "")
    user, colon, password = urlsplit(url).netloc.rpartition("@")[0].partition(":")
    yield unquote(password if colon else user)
    if user:
        yield header.removeprefix("Basic ")
    values = [value or name for name, _, value in (pair.partition("=") for pair in parts.query.split("&"))]
    yield from (one for value in values if len(value) >= LONG_PART for one in (value, unquote(value)))
    yield from (unquote(part) for part in parts.path.split("/") if len(part) >= NO_WORD)


def _forms(word: str) -> set[str]:
    """Ways of writing a key down, backslashes apart: raw, in an address, in a page, in the JSON of some servers."""
    unicode = re.sub("[&<>]", lambda sign: f"u{ord(sign[0]):04x}", word)
    return {word, unicode, quote(word), quote(word, safe=""), quote_plus(word), html.escape(word)}


def _pattern(forms: set[str]) -> re.Pattern[str]:
    """Any of the forms, in either case, with any signs escaped, in Python or JSON, once or several times."""
    longest_first = sorted(forms, key=len, reverse=True)
    each = ("".join(rf"\\*{re.escape(sign)}" for sign in form) for form in longest_first)
    return re.compile("|".join(each) or r"(?!)", re.IGNORECASE)
