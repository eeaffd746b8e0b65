"""Tiny random models written to a folder: nothing is downloaded."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
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


def rating_model(folder: Path, chances: dict[str, dict[str, float]]) -> str:
    """A Llama whose next token hangs on the last one alone: last token ("" for all others) -> next token -> chance.

    Its layers add nothing, each last token has a direction of its own, and the head holds the logarithms of the
    chances; its tokens join without spaces.
    """
    made = tokenizer(TEMPLATE)
    core = made.backend_tokenizer
    core.add_tokens([" 4", "10"])
    core.decoder = decoders.Fuse()
    made = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", eos_token="</s>", pad_token="<pad>")
    made.chat_template = TEMPLATE
    config = LlamaConfig(
        vocab_size=len(made) + 3, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=512, eos_token_id=3, pad_token_id=1, rms_norm_eps=1e-12,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.zero_()
        model.model.embed_tokens.weight[:, 0] = 1
        model.lm_head.weight.fill_(-25)
        for place, (last, nexts) in enumerate(chances.items()):
            if last:
                model.model.embed_tokens.weight[made.convert_tokens_to_ids(last)] = torch.eye(16)[place]
            assert place == 0 or last, "the chances after all others come first"
            for token, chance in nexts.items():  # the norm makes a direction's length the root of 16
                model.lm_head.weight[made.convert_tokens_to_ids(token), place] = math.log(chance) / 4
    model.save_pretrained(folder)
    made.save_pretrained(folder)
    return str(folder)


def gguf_model(file: Path) -> tuple[Path, LlamaForCausalLM]:
    """A GGUF file of a tiny Llama with letters for tokens, as llama.cpp's converter writes it, and the model itself.

    Two tokens end its answers, one the text and one the turn; its context is 96 tokens.
    """
    from gguf import GGUFWriter, TokenType

    torch.manual_seed(2)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<unk>", "<pad>", "<s>", "</s>", "<turn>", *letters, "th", "the"]
    config = LlamaConfig(
        vocab_size=len(tokens), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=96, rms_norm_eps=1e-6,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    writer = GGUFWriter(file, "llama")
    writer.add_name("tiny")
    writer.add_context_length(96)
    writer.add_embedding_length(16)
    writer.add_feed_forward_length(32)
    writer.add_block_count(2)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10_000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL] * 5 + [TokenType.NORMAL] * (len(tokens) - 5))
    writer.add_token_merges(["t h", "th e"])
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(3)
    writer.add_eot_token_id(4)
    writer.add_chat_template(TEMPLATE)
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
             "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
             "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}  # fmt: skip
    for name, weight in model.state_dict().items():
        place = name.removesuffix(".weight")
        block = place.split(".")[2] if place.startswith("model.layers") else ""
        inner = place.split(".", 3)[3] if block else place
        values = weight.numpy()
        if names[inner] in ("attn_q", "attn_k"):  # llama.cpp turns neighbours, transformers halves
            values = values.reshape(2, 2, 4, 16).swapaxes(1, 2).reshape(16, 16)
        writer.add_tensor(f"blk.{block}.{names[inner]}.weight" if block else f"{names[inner]}.weight", values.copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file, model
