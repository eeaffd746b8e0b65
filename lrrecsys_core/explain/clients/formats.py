"""How a conversation becomes the text a model reads, and the six LLMs of Table 4."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.weights import PACKAGED
from lrrecsys_core.explain.llm import Message

VICUNA_OPENING = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)

_TOKENS = re.compile(  # of all makes: <|im_end|>, <｜User｜>, </s>, <start_of_turn>, [INST], <<SYS>>, <think>, <0x0A>
    r"([<\[])(?=[|｜])|(<)(?=(?i:/?(?:s|bos|eos|eot|eod|pad|unk|mask|sep|cls|end|start|user|assistant|system|human|model"
    r"|bot|sys|think(?:ing)?|thought|reasoning|channel|image|(?:start|end)_of_(?:turn|text|image)"
    r"|(?:extra_id_|unused|reserved_)[0-9]+|0x[0-9a-f]{2})[|｜]?>))"
    r"|(\[)(?=/?(?:INST|SYS|BOS|EOS|PAD|UNK|MASK|gMASK|SEP|CLS|THINK|TOOL_CALLS?|TOOL_RESULTS|AVAILABLE_TOOLS)\])"
    r"|(?<=\S)()(?=[|｜]>)"
)
_ROLES = re.compile(
    r"(USER|ASSISTANT|SYSTEM|HUMAN|Assistant|User|###\s*(?:Instructions?|Response|Input|Output|Human|System)):"
)


def neutral(text: str) -> str:
    """The text with a space in whatever a chat format could take for its own: "< |im_end| >", "[ INST]", "USER :".

    What is put into a prompt passes here, so that no item's name ends a turn or begins one.
    """
    return _ROLES.sub(r"\1 :", _TOKENS.sub(r"\g<0> ", text))


def render(messages: Sequence[Message], chat_format: str) -> str:
    """The conversation as one text, for models and servers without a chat template.

    Parameters
    ----------
    messages
        Role and text, oldest first.
    chat_format
        "plain" (the texts below one another: GPT-2 and other base models) or "vicuna".

    Raises
    ------
    InputError
        When the format is unknown.
    """
    if chat_format == "plain":
        return "\n\n".join(text for _, text in messages) + "\n"
    if chat_format == "vicuna":
        system = [text for role, text in messages if role == "system"] or [VICUNA_OPENING]
        turns = [f"{'USER' if role == 'user' else 'ASSISTANT'}: {text}" for role, text in messages if role != "system"]
        return " ".join([*system, *turns, "ASSISTANT:"])
    raise InputError(f"chat format {chat_format!r} is unknown: choose 'template', 'plain' or 'vicuna'")


@dataclass(frozen=True)
class KnownLLM:
    """One LLM of Table 4.

    Parameters
    ----------
    name
        What tables call it: "Llama 3.1", and a model of one's own by its identifier.
    model
        Identifier on the model hub.
    chat_format
        "template" (the tokenizer's own), "vicuna" or "plain".
    context
        Tokens of prompt and answer together.
    revision
        Commit to pin; empty takes the newest. It enters every key.
    """

    name: str
    model: str
    chat_format: str
    context: int
    revision: str = ""

    @property
    def pinned(self) -> str:
        """Identifier with revision, as it enters keys."""
        return f"{self.model}@{self.revision}" if self.revision else self.model


PAPER_LLMS: dict[str, KnownLLM] = {
    "llama-3.1": KnownLLM("Llama 3.1", "meta-llama/Llama-3.1-8B-Instruct", "template", 131_072),
    "llama-3": KnownLLM("Llama 3", "meta-llama/Meta-Llama-3-8B-Instruct", "template", 8_192),
    "mixtral": KnownLLM("Mixtral-8x7B", "mistralai/Mixtral-8x7B-Instruct-v0.1", "template", 32_768),
    "vicuna": KnownLLM("Vicuna-7b-v1.5", "lmsys/vicuna-7b-v1.5", "vicuna", 4_096),
    "qwen2": KnownLLM("Qwen2-7B", "Qwen/Qwen2-7B-Instruct", "template", 32_768),
    "gpt-2": KnownLLM("GPT-2", "openai-community/gpt2", "plain", 1_024),
}
"""By the short name that ``--llm`` takes. The paper gives no sizes for Llama (8B taken) and no variants (instruct)."""

EMBEDDED: dict[str, KnownLLM] = {
    "smollm2": KnownLLM("SmolLM2-135M", Path(PACKAGED["smollm2"][1]).stem, "template", 8_192),
}
"""Models that come inside an installed package (see `weights`): by the short name that ``--llm`` takes."""


def known_llm(name: str, revision: str = "") -> KnownLLM:
    """A row of the table by short name, or any other model in the table's form.

    ``name`` may carry its revision behind "@"; another model is taken to have a chat template.
    """
    model, pinned = split_revision(name)
    known = (PAPER_LLMS | EMBEDDED).get(model, KnownLLM(model, model, "template", 0))
    return replace(known, revision=revision or pinned)


def split_revision(model: str) -> tuple[str, str]:
    """Identifier and revision (behind the last "@"); a folder, and a name that starts with "@", have none."""
    name, _, revision = model.rpartition("@")
    return (name, revision) if name and not Path(model).is_dir() else (model, "")
