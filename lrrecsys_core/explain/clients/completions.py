"""The answer inside what an OpenAI-compatible server or a batch file sends back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lrrecsys_core.explain.clients.odds import listed_odds
from lrrecsys_core.explain.llm import Result
from lrrecsys_core.explain.reading import emptiness

MOST_TOKENS = 1 << 31  # no prompt has more: what claims to is no count
LONGEST_REASON = 200
CUT_SHORT = {"max_tokens", "max_output_tokens", "incomplete"}  # the name everywhere else is "length"
WITHHELD = {
    "content_filter", "content-filter", "content_filtered", "refusal", "safety", "recitation", "prohibited_content",
    "blocklist", "spii", "image_safety", "guardrail_intervened",
}  # fmt: skip
BROKEN_OFF = {"error", "abort", "aborted", "cancelled", "failed"}
_SAYS = ("message", "detail", "msg", "error", "error_message", "reason", "code", "type")


class CallFailed(Exception):
    """One call failed: why, whether to try again, whether its server now rests, and the HTTP status of a refusal."""

    def __init__(self, reason: str, *, again: bool = True, rests: bool = False, status: int = 0) -> None:
        super().__init__(reason)
        self.again = again
        self.rests = rests
        self.status = status


def read_answer(content: object, key: str, choices: Sequence[str] = ()) -> Result:
    """The result inside a chat or text completion, a response or a message, with the odds of choices where it tells.

    What says nothing about the answer never loses it: a count of tokens that is none is 0.

    Parameters
    ----------
    content
        The body: as received (bytes or text), or parsed already.
    key
        Of the request.
    choices
        As in :class:`~lrrecsys_core.explain.llm.Request`.

    Raises
    ------
    CallFailed
        When the body is not whole JSON, holds no answer, or the text is empty, withheld, refused, or thoughts alone.
    """
    answer = _parsed(content)
    try:
        choice, said, reason = _said(answer)
        text, refused = _text(said)
    except (KeyError, IndexError, TypeError, AttributeError, RecursionError):
        if isinstance(answer, dict) and answer.get("error"):
            raise CallFailed(f"the server says: {reason_of(answer)}") from None
        raise CallFailed(f"the answer is not a completion: {reason_of(answer)[:80]}") from None
    told = f": {reason_of(answer['error'])}" if answer.get("error") else ""
    reason = str(reason or "stop").encode("ascii", "replace").decode()[:40]
    if reason.lower() in WITHHELD or refused:
        raise CallFailed(f"the answer was withheld ({reason}): {refused or text}"[:LONGEST_REASON], again=False)
    if reason.lower() in BROKEN_OFF:
        raise CallFailed(f"the answer broke off ({reason}){told}")
    if nothing := emptiness(text):
        raise CallFailed(f"{nothing} (finish reason {reason!r}){told}", again=not text.strip())
    return Result(
        key, text, "length" if reason.lower() in CUT_SHORT else reason,
        _count(answer, "prompt_tokens", "input_tokens"), _count(answer, "completion_tokens", "output_tokens"),
        odds=listed_odds(choice, choices) if choices else {},
    )  # fmt: skip


def reason_of(said: object) -> str:
    """The words in which a server tells of an error, wherever in its JSON they are; at most 200 characters."""
    inner = said
    for _ in range(8):
        if isinstance(inner, dict):
            inner = next((inner[name] for name in _SAYS if inner.get(name) not in (None, "", {}, [])), None)
        elif isinstance(inner, list) and len(inner) == 1:
            inner = inner[0]
        else:
            break
    try:
        words = str(inner if isinstance(inner, str | int) else said)
    except RecursionError:
        words = "too deep a JSON"
    return " ".join(words.split())[:LONGEST_REASON].encode("utf-8", "replace").decode()


def _parsed(content: object) -> Any:
    try:
        while isinstance(content, bytes | str):  # a body may be JSON in a JSON text
            content = json.loads(content)
    except (ValueError, RecursionError):
        shown = content[:80] if isinstance(content, bytes | str) else content
        raise CallFailed(f"the answer is not a completion: {shown!r}") from None
    return content


def _said(answer: dict[str, Any]) -> tuple[dict[str, Any], object, object]:
    """The choice, what holds its text, and why it ended: of either completion, a response, or a bare message."""
    if "choices" in answer:
        choice = answer["choices"][0]
        return choice, choice["message"] if "message" in choice else choice["text"], choice.get("finish_reason")
    if "output" in answer:
        why = answer.get("incomplete_details")
        reason = (why.get("reason") if isinstance(why, dict) else None) or answer.get("status")
        messages = [one for one in answer["output"] if one.get("type") == "message"]
        return answer, [part for one in messages for part in one["content"]], _ended(reason)
    return answer, answer["content"], _ended(answer.get("stop_reason"))


def _ended(reason: object) -> object:
    """Why an answer ended, in the words of completions."""
    return "stop" if reason in ("completed", "end_turn", "stop_sequence") else reason


def _text(said: object) -> tuple[str, str]:
    """The text of a message, and its refusal, whatever it is made of; parts that are no text or thoughts are left."""
    if isinstance(said, str):
        return said, ""
    if isinstance(said, list):
        parts = [_text(part) for part in said if not (isinstance(part, dict) and _is_thought(part))]
        return "".join(text for text, _ in parts), " ".join(filter(None, (refused for _, refused in parts)))
    if not isinstance(said, dict):
        return "", ""
    text, refused = _text(next((said[name] for name in ("content", "text", "value") if name in said), ""))
    stated = said.get("refusal")
    return text, refused or (stated.strip() if isinstance(stated, str) else "")


def _is_thought(part: dict[str, Any]) -> bool:
    return str(part.get("type")) in {"thinking", "reasoning", "redacted_thinking"}


def _count(answer: dict[str, Any], *names: str) -> int:
    usage = answer.get("usage")
    told = [usage[name] for name in names if name in usage] if isinstance(usage, dict) else []
    try:
        count = int(told[0])
    except (IndexError, TypeError, ValueError, OverflowError):
        return 0
    return count if 0 <= count < MOST_TOKENS else 0
