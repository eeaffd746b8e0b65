"""The rating that an answer states, or why none is taken from it."""

from __future__ import annotations

import re

from lrrecsys_core.explain.reading import CHATTER, CONTROL, EMPHASIS, MARK, TURN, without_thoughts

LONGEST = 2_000  # characters read: eight tokens are asked for, and a runaway answer must not hold up a run
REFUSAL = re.compile(
    r"\b(I('m| am) sorry|I (can|could) ?no?t|I can't|I am unable|I'm unable|as an AI|as a language model|"
    r"I do not have (access|enough)|I don't have (access|enough)|cannot (provide|determine|answer))\b",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"(?<![\w.,])[0-9]+(?:[.,][0-9]+)?(?!\w)")
_NUMBER = (
    r"(?<![\w.,/%−-])(?<!\d[–—~])(?P<number>[-−]?[0-9]+(?:[.,][0-9]+)?)(?![\w%½⅓¼¾]|[.,/][0-9]|\s*[-–—~/]\s*[0-9])"
)
_NUMBER += r"(?!\s+(?:to|or|and)\s+(?:a\s+)?[0-9]|\s+and\s+a\s+half)"
_STARS = r"(?:\s*(?:stars?|points?|★|⭐)+)?"
# What may follow a rating: the end of the statement, or whom and what it is for. "4 movies" is no rating.
_DONE = r"(?=\s*(?:$|[.,;:!?)\]}★⭐]|stars?\b|points?\b|for\b|overall\b|[-–—]\s|\())"
_SUBJECT = r"\b(?:the consumer|they|he|she)\b(?!\s+(?:would|will|may|might|could|is likely|rates?|gives?)\b)"
_WHY = re.compile(
    r"(?<=[0-9])(.*?)\b(?:because|since|given|considering|due to|reason\w*|explanation|based on|compared|similar"
    rf"|having)\b.*|{_SUBJECT}.*",
    re.IGNORECASE,
)
_NAME = (
    r"(?<!average )(?<!past )(?<!previous )(?<!mean )(?<!other )\b(?:rating|score|answer|prediction|output|response)\b"
)
_BARE = re.compile(
    rf"\W*?(?:(?:(?:my|the|a|final|predicted|expected|overall|estimated|likely|user|consumer|star)\W+)*{_NAME}"
    rf"(?:\s+(?:is|would be|will be|of))?\W+?)?{_NUMBER}{_STARS}\W*",
    re.IGNORECASE,
)
_FIRST = re.compile(rf"\W*?{_NUMBER}{_STARS}\s*(?:[.,:;!?()–—]|-\s)", re.IGNORECASE)
_STATED = re.compile(
    rf"(?:{_NAME}|\b(?:rates?|gives?|scores?|say|guess|estimate|predict|get|receive|deserve|assign|go with|be)\b)"
    rf"[^0-9\n]{{0,60}}?{_NUMBER}{_DONE}",
    re.IGNORECASE,
)
_OF_ASKED = re.compile(rf"{_NUMBER}★")


def parse_rating(text: str, low: float, high: float) -> tuple[float | None, str]:
    """The rating an answer states on the asked scale, with "ok", or None with the reason; nothing is ever guessed.

    Read is the answer as received, without thoughts, marks and the scale itself ("on a scale of 1 to 5"), each line up
    to where its explanation begins ("because", "the consumer has"). The first of these rules that finds a rating holds:

    1. A line that is a number, with or without "Rating:", "stars", "/5": "4", "**4**", "Rating: 3.5", "4,5" for 4.5.
    2. A number out of the asked scale's end: "I would say 4 out of 5".
    3. A number with a mark behind it that begins the answer: "4 - they like tea". A "1." before a text begins a list.
    4. A number said to be the rating: "I would give it 4 stars", "The rating is 4".

    Two numbers by one rule, or by rules 3 and 4 another number in the statement ("between 3 and 4"), make an answer
    "several numbers". A number beyond the scale, or on another ("8/10"), is "off the scale". Any other ("watched 3
    movies", "80%", "four") is no rating: "no number".

    Parameters
    ----------
    text
        The answer to the prompt for a direct rating.
    low, high
        The scale.
    """
    said = without_thoughts(text)[:LONGEST]
    if not TURN.sub("", CONTROL.sub("", said)).strip():
        return None, "empty"
    lines = [_scaled(line, low, high) for line in _statements(said)]
    if any(_elsewhere(line) for line in lines):
        return None, "off the scale"
    stated = _stated(lines)
    if len(stated) == 1:
        rating = float(next(iter(stated)))
        return (rating, "ok") if low <= rating <= high else (None, "off the scale")
    digits = {_value(number) for line in lines for number in _DIGITS.findall(line)}
    if stated or len(digits) > 1:
        return None, "several numbers"
    return None, "refusal" if REFUSAL.search(said) else "no number"


def _statements(said: str) -> list[str]:
    """The lines of the model's own turn without marks, each up to where its explanation begins."""
    turn = next((part for part in TURN.split(CONTROL.sub(" ", said)) if part.strip()), "")
    lines = EMPHASIS.sub("", re.sub(r"[\"“”]|\\[a-z]+", "", MARK.sub("\n", turn))).split("\n")
    lines = [line for line in lines if line.strip()]
    if lines and re.match(r"\s*1[.)]\s+\S", lines[0]):
        lines = [re.sub(r"^\s*[0-9]{1,2}[.)]\s+", "", line) for line in lines]
    return [line for one in lines if (line := CHATTER.sub("", _WHY.sub(r"\1", one).strip()))]


def _scaled(text: str, low: float, high: float) -> str:
    """The text without mention of the asked scale; a number out of its end is marked by a star."""
    lowest, highest = (f"{re.escape(f'{end:g}')}(?:[.,]0+)?" for end in (low, high))
    scale = rf"\(?\b(?:on\s+)?(?:an?\s+|the\s+)?(?:scale\s+)?(?:of\s+|from\s+|between\s+)?(?<![\d.,-]){lowest}\s*"
    scale += rf"(?:to|and|through|[-–—])\s*{highest}(?![\d%]|[.,]\d)(?:\s*scale)?\)?"
    text = re.sub(scale, " ", text, flags=re.IGNORECASE)
    out_of = rf"(?<=\d)\s*\(?(?:/|\b(?:out\s+)?of\b(?:\s+a\s+possible)?)\s*{highest}(?![\d%]|[.,]\d){_DONE}"
    return re.sub(out_of, "★", text, flags=re.IGNORECASE | re.MULTILINE)


def _elsewhere(line: str) -> bool:
    """Whether a line rates on another scale."""
    out_of = rf"[0-9]\s*(?:/\s*|out\s+of\s+(?:a\s+possible\s+)?)[0-9]+(?:[.,][0-9]+)?{_DONE}"
    return bool(re.search(rf"{out_of}|\bscale\s+(?:of|from)\s+[0-9]", line, re.IGNORECASE))


def _stated(lines: list[str]) -> set[float]:
    """The numbers that the first fitting rule of :func:`parse_rating` finds; several where they are not one rating."""
    if bare := {_value(match["number"]) for line in lines if (match := _BARE.fullmatch(line))}:
        return bare
    if marked := {_value(match["number"]) for line in lines for match in _OF_ASKED.finditer(line)}:
        return marked
    first = _FIRST.match(lines[0]) if lines else None
    if first:
        return {_value(first["number"])} | _others(lines[0])
    found = [(line, match) for line in lines for match in _STATED.finditer(line)]
    return {value for line, match in found for value in {_value(match["number"])} | _others(line)}


def _others(line: str) -> set[float]:
    return {_value(number) for number in re.findall(r"(?:(?<![\w.,])[-−])?[0-9]+(?:[.,][0-9]+)?", line)}


def _value(number: str) -> float:
    return float(number.replace(",", ".").replace("−", "-"))
