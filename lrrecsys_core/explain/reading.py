"""What an answer says: how the text that networks and later prompts read is taken out of what an LLM wrote."""

from __future__ import annotations

import re

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
