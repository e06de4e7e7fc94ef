"""A RoBERTa of random weights, by default a few thousand, with its own tokenizer, saved as a real checkpoint."""

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import ByteLevelBPETokenizer
from tokenizers.processors import RobertaProcessing
from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaForMaskedLM

from tests.helpers.made_once import made_once

SENTENCES = (
    "Oh my God, he's lost it. He's totally lost it.",
    "What?",
    "No, no, I'm fine, really, everything is fine!",
    "You know what I mean, don't you? I have been saying it all along, to you and to everybody else in this house.",
    "Café – naïve; “quoted” 日本 🙂",
    "Okay.",
)


@dataclass(frozen=True)
class Shape:
    """Width, attention heads, width of the inner layers, and the deviation of the weights."""

    width: int = 32
    heads: int = 4
    inner: int = 64
    spread: float = 0.3


TINY = Shape()


@made_once
def save_roberta(folder: Path, layers: int = 5, seed: int = 0, longest: int = 128, shape: Shape = TINY) -> None:
    """Random weights with RoBERTa's layout: positions from 2 on, a language-model head around the encoder.

    The tokenizer states no greatest length of its own.
    """
    trained = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(SENTENCES, vocab_size=400, special_tokens=special, show_progress=False)
    trained.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0))
    names = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "pad_token": "<pad>"}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer, unk_token="<unk>", mask_token="<mask>", **names
    )
    tokenizer.save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = RobertaConfig(
            vocab_size=400,
            hidden_size=shape.width,
            num_hidden_layers=layers,
            num_attention_heads=shape.heads,
            intermediate_size=shape.inner,
            max_position_embeddings=longest + 2,
            type_vocab_size=1,
            initializer_range=shape.spread,
        )
        RobertaForMaskedLM(config).save_pretrained(folder)
