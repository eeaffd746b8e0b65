"""Tiny random models written to a folder: nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEMPLATE = (
    "{% for m in messages %}<s> {{ m.role }} : {{ m.content }} </s> {% endfor %}"
    "{% if add_generation_prompt %}<s> assistant :{% endif %}"
)
WORDS = ["<unk>", "<pad>", "<s>", "</s>", "user", "assistant", "system", ":", "the", "a", "consumer", "watched", "this"]
WORDS += ["movie", "because", "and", "has", "likes", "tea"]


def tokenizer(template: str | None) -> PreTrainedTokenizerFast:
    letters = [chr(code) for code in range(33, 127)]
    vocabulary = {word: place for place, word in enumerate(dict.fromkeys(WORDS + letters))}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>", model_max_length=512,
        pad_token="<pad>" if template else None,
    )  # fmt: skip
    made.chat_template = template
    return made


def chat_model(folder: Path) -> str:
    """A Llama of two tiny layers with a chat template."""
    torch.manual_seed(0)
    made = tokenizer(TEMPLATE)
    config = LlamaConfig(
        vocab_size=len(made), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=512, bos_token_id=2, eos_token_id=3, pad_token_id=1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    made.save_pretrained(folder)
    return str(folder)


def plain_model(folder: Path) -> str:
    """A GPT-2 of two tiny layers: no chat template, no padding token."""
    torch.manual_seed(1)
    made = tokenizer(None)
    config = GPT2Config(
        vocab_size=len(made), n_embd=16, n_layer=2, n_head=2, n_positions=64, bos_token_id=2, eos_token_id=3
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    made.save_pretrained(folder)
    return str(folder)
