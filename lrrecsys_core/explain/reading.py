"""What an answer says: how the text that networks and later prompts read is taken out of what an LLM wrote.

Thoughts are left out first. Then the answer falls into pieces: at empty lines, fences, and the marks of chat formats.
The first piece with the sentence that was asked for gives that sentence; where none is asked for or found, the first
piece that is no preface gives its text, without label, list mark, emphasis and the quotation marks around it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

# The names that models give their thoughts, in tags of many makes: <think>, [THINK], <|START_THINKING|>, <seed:think>.
_NAME = r"(?:\w+:)?(?:think(?:ing)?|thoughts?|reasoning|reflection|scratchpad|analysis)"
_OPENED = re.compile(
    rf"<\|?\s*(?:begin_of_|start_)?{_NAME}\b[^<>/]*>|\[think\]|◁think▷"
    r"|<\|?channel\|?>(?!\s*final\b)|\A\s*(?:analysis|commentary)(?=[A-Z])",
    re.IGNORECASE,
)
_CLOSED = re.compile(
    rf"<\|?\s*(?:/\s*|end_of_|end_){_NAME}\s*\|?>|\[/think\]|◁/think▷"
    r"|<\|channel\|>\s*final\b.*?<\|message\|>|<channel\|>|\A\s*(?:analysis|commentary)(?=[A-Z]).*assistantfinal",
    re.IGNORECASE | re.DOTALL,
)


def without_thoughts(text: str) -> str:
    """What stands behind the last mark that closes a thought; "" where one is opened behind it, or instead of it."""
    spoken = text
    for closed in _CLOSED.finditer(text):
        spoken = text[closed.end() :]
    return "" if _OPENED.search(spoken) else spoken


def emptiness(text: str) -> str:
    """Why a client must take an answer for a failure: it is empty, or thoughts alone; "" where it says something."""
    if not text.strip():
        return "the answer is empty"
    return "" if without_thoughts(text).strip() else "the answer is thoughts alone: allow more answer_tokens"


LEADING = 12  # words of a line that leads to what follows
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2060\ufeff]")
TURN = re.compile(  # marks of chat formats with the role that they name, and the turn that a model makes up
    r"<\|(?:im_start|start|start_header_id|header_start)\|>\s*\w*|<start_of_turn>\s*\w*|<\|[^<>\n]{1,40}?\|?>"
    r"|<[^<>|\s]{1,40}\|>|</?(?:s|eos|bos|eot|pad|unk|end|end_of_turn)\s*/?>|\[/?INST\]|<</?SYS>>"
    r"|\n\s*(?:###\s|(?:USER|User|Human|HUMAN|ASSISTANT|Assistant|Question|Input):)|\n(?=\[)"
)
MARK = re.compile(  # the same, tags around an answer, fences, empty lines
    rf"{TURN.pattern}|```[\w-]*|\n\s*\n|</?(?:answer|final_answer|response|output|result|sentence|assistant|final|text"
    r"|profile|rating|reason|explanation|p|div|br)\s*/?>"
)
_HEADING = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]+(.*?)|\*\*([^*\n]*[^*\n.!?:]):?\*\*):?[ \t]*$(?=\s*[^\s*#])", re.MULTILINE
)
EMPHASIS = re.compile(r"\*\*+|(?<!\w)__+|__+(?!\w)|`|(?<![\w*])[*_](?=[^\s*_])|(?<=[^\s*_])[*_](?![\w*])")
_LISTED = re.compile(r"^\s*(?:[-*+•–—>]|\(?\d{1,2}[.)]|[a-z]\))\s+(?=\S)")
_LABEL = re.compile(
    r"^\s*(?:\[Output\]|(?:(?:final|my|short|item|movie|hotel|restaurant|product|aspect|three) )?(?:explanation|answer"
    r"|output|profile|rating|reason|response|sentence|summary|result|assistant|terms|aspects|description):)\s*",
    re.IGNORECASE,
)
_POLITE = r"(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|alright|got it|no problem|happy to help)"
PREFACE = re.compile(
    r"^(?:here(?:['’]s| is| are)|below (?:is|are)|this is (?:the|my|your)|based on|i (?:would|will|can|have)"
    r"|i['’](?:d|ll|ve)|let me|as (?:requested|an? (?:ai|expert|language))|the following"
    r"|the (?:three |most |key )*(?:aspects?|terms)\b(?=[^.]*:))\b",
    re.IGNORECASE,
)
CHATTER = re.compile(rf"^{_POLITE}(?:\s*[!.,:]+\s*|\W*$)", re.IGNORECASE)
"""Words to the one who asks, before anything is said about the item."""
_HERE = re.compile(
    r"^(?:here|below)(?:['’]s| is| are)\b[^.:!]{0,80}\b(?:profile|description|sentence|answer|reason|summary|terms"
    r"|aspects)\b[^.:!]{0,120}[.!]\s*",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"(?<=[.!?\"”])\s+(?:let me know|please let|i hope (?:this|that)|hope this|feel free|is there anything"
    r"|would you like)\b.*$",
    re.IGNORECASE,
)
_KEYED = re.compile(r'^[{\[\s]*"[\w ]{1,30}"\s*:\s*"?')
_NAMES = ("answer", "sentence", "text", "output", "response", "profile", "reason", "explanation", "summary", "aspects")
_REASON = r"The consumer(?: [\w'’-]+){1,8} because\b"
_OPENS = r"(?:\A|[\n.:!?\"“'‘(>-]\s*)"
_ENDS = re.compile(r"(?<!\.)[.。][\"”'’)]*(?=\s+[A-Z\"“])")
NOT_AN_END = re.compile(r"\b(Mr|Mrs|Ms|Dr|St|Jr|Sr|vs|No|Vol|Inc|Co|Ltd|e\.g|i\.e|etc|[A-Z])\.$")
_QUOTES = {'"': '"', "“": "”", "'": "'", "‘": "’", "«": "»", "„": "“", "「": "」"}


def tidy(text: str, openings: Sequence[str] = ()) -> str:
    """The answer proper on one line, by the rules above; "" where nothing is said.

    Parameters
    ----------
    text
        The answer as received.
    openings
        How the sentence asked for may begin; where none is known, as the paper's reasons do (App 10.2).
    """
    told, asked = paragraph(text, openings)
    if asked:
        ends = (end.end() for end in _ENDS.finditer(told) if not NOT_AN_END.search(told[: end.end()]))
        told = told[: next(ends, None)]
    return _unquoted(told)


def paragraph(text: str, openings: Sequence[str] = ()) -> tuple[str, bool]:
    """The same with all further sentences of its paragraph, and whether it is the sentence asked for."""
    text = _HEADING.sub(lambda found: f"{found[1] or found[2]}:", CONTROL.sub(" ", without_thoughts(text)))
    cut = (EMPHASIS.sub("", _from_json(piece)).strip() for piece in MARK.split(text))
    pieces = [piece for piece in cut if piece]
    for piece in pieces:
        if sentence := _sentence(piece, openings):
            return sentence, True
    return _unwrapped(_behind_preface(pieces)), False


def _sentence(piece: str, openings: Sequence[str]) -> str:
    """A piece from the expected opening on, up to the line or the quotation mark that ends it; "" without one.

    An opening that says "because" may stand anywhere, any other only where a sentence can begin. One behind which
    nothing is said is the question given back.
    """
    patterns = [rf"({_REASON})", r"(?:\A|[:!\n]\s*)[\"“'‘]*(The consumer\b)"]
    if openings:
        spaced = {opening: r"\s+".join(map(re.escape, opening.split())) for opening in openings}
        patterns = [rf"{'' if 'because' in opening else _OPENS}({words})(?!\w)" for opening, words in spaced.items()]
    found = [match for pattern in patterns for match in re.finditer(pattern, piece)]
    for match in found:
        start, rest = match.start(1), piece[match.end(1) :]
        if not re.match(r"[\s,:]+[\"“‘'(]?\w", rest):
            continue
        sentence = re.split(r"(?<=[.!?。…\"”’')])[ \t]*\n", piece[start:], maxsplit=1)[0]
        closing = _QUOTES.get(piece[start - 1 : start], "")
        if closing and (ends := [end.start() for end in re.finditer(rf"{closing}(?!\w)", sentence)]):
            finished = [end for end in ends if sentence[end - 1] in ".!?。…"]
            sentence = sentence[: (finished or ends[::-1])[0]]
        return " ".join(sentence.split())
    return ""


def _behind_preface(pieces: list[str]) -> str:
    """The first piece that does not only lead to a later one; "" where there is none."""
    for place, piece in enumerate(pieces):
        later = pieces[place + 1 :]
        announced = _to_the_asker(piece) and any(map(_leads, later))
        if not (_leads(piece) and (later or _to_the_asker(piece)) or announced or (later and _HERE.fullmatch(piece))):
            return piece
    return ""


def _to_the_asker(piece: str) -> bool:
    return bool(CHATTER.match(piece) or PREFACE.match(piece))


def _leads(piece: str) -> bool:
    """Whether a piece or line is a few words, or words to the one who asks, that end in a colon; or polite alone."""
    colon = piece.rstrip().endswith(":") and (_to_the_asker(piece) or len(piece.split()) <= LEADING)
    return colon or not CHATTER.sub("", piece).strip()


def _unwrapped(piece: str) -> str:
    """One line of a piece without what leads to it or stands around it."""
    lines = piece.splitlines()
    while len(lines) > 1 and _leads(lines[0]):
        del lines[0]
    listed = len(lines) > 1 and all(_LISTED.match(line) for line in lines)
    lines = [_LISTED.sub("", line).strip(" ,;") for line in lines] if listed else lines
    text = " ".join((", " if listed and not lines[0].endswith(".") else " ").join(lines).split())
    text, before = _CLOSING.sub("", text), None
    while text != before:
        before = text
        text = CHATTER.sub("", _LABEL.sub("", _LISTED.sub("", _KEYED.sub("", text))))
        text = re.sub(r"^[^:]{0,200}:(?:\s+|$)", "", text) if PREFACE.match(text) else text
        text = _HERE.sub("", text) or text
    return text


def _unquoted(text: str) -> str:
    """A text without quotation marks around it, those of which there is only one, and what a cut JSON leaves."""
    if text.count("}") > text.count("{"):
        text = text.rstrip("}] ")
    text = re.sub(r"^[\"“”„]{2,}|[\"“”„]{2,}$", "", text)
    for opened, closed in _QUOTES.items():
        text = text.strip()
        alone = text.count(opened) + (text.count(closed) if opened != closed else 0)
        if len(text) > 1 and text[0] == opened and text[-1] == closed and (alone == 2 or opened == "'"):
            text = text[1:-1]
        elif opened != "'" and alone % 2 and text[:1] == opened:
            text = text[1:]
        elif opened != "'" and alone % 2 and text[-1:] == closed:
            text = text[:-1]
    return text.strip()


def _from_json(piece: str) -> str:
    """The text inside a JSON value, where a piece is one, behind a line that ends in a colon or not; else the piece."""
    found = re.search(r"[{\[].*[}\]]", piece, re.DOTALL)
    if found is None or not re.fullmatch(r"\s*(?:json)?\s*(?:[^{}\[\]]*:)?\s*", piece[: found.start()]):
        return piece
    try:
        return "\n".join(_leaves(json.loads(found[0])))
    except (ValueError, RecursionError):
        return piece


def _leaves(value: Any) -> list[str]:
    """Texts and numbers of a JSON value: of one whose name says that it is the answer, or else of all."""
    if isinstance(value, dict):
        named = [inner for name, inner in value.items() if name.lower() in _NAMES]
        return _leaves(named[0] if named else list(value.values()))
    if isinstance(value, list):
        inner = [leaf for one in value for leaf in _leaves(one)]
        return [", ".join(inner)] if all(isinstance(one, str) and len(one.split()) < 6 for one in value) else inner
    return [str(value)] if isinstance(value, str | int | float) else []
