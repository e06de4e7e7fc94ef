"""Speech encoders of random weights, one of each family, saved as real checkpoints with their feature extractors."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    Data2VecAudioConfig,
    Data2VecAudioModel,
    HubertConfig,
    HubertModel,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2BertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperModel,
)

from tests.helpers.made_once import made_once

SIZE: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48,
    "initializer_range": 0.3,
}  # fmt: skip
WAVE: dict[str, Any] = {
    **SIZE, "conv_dim": [16] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
LARGE: dict[str, Any] = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
WHISPER: dict[str, Any] = {
    "vocab_size": 50, "d_model": 32, "encoder_layers": 3, "encoder_attention_heads": 2, "encoder_ffn_dim": 48,
    "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "init_std": 0.3,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
}  # fmt: skip

FAMILIES = ("wav2vec2", "wav2vec2-large", "ctc", "hubert", "wavlm", "wavlm-large", "data2vec", "w2v-bert", "whisper")


def model_of(family: str) -> Any:
    """A small model of a family, of the same random weights each time."""
    makers: dict[str, Any] = {
        "wav2vec2": lambda: Wav2Vec2Model(Wav2Vec2Config(**WAVE)),
        "wav2vec2-large": lambda: Wav2Vec2Model(Wav2Vec2Config(**WAVE, **LARGE)),
        "ctc": lambda: Wav2Vec2ForCTC(Wav2Vec2Config(**WAVE, vocab_size=12)),
        "hubert": lambda: HubertModel(HubertConfig(**WAVE)),
        "wavlm": lambda: WavLMModel(WavLMConfig(**WAVE)),
        "wavlm-large": lambda: WavLMModel(WavLMConfig(**WAVE, **LARGE)),
        "data2vec": lambda: Data2VecAudioModel(
            Data2VecAudioConfig(**{**WAVE, "num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 7})
        ),
        "w2v-bert": lambda: Wav2Vec2BertModel(Wav2Vec2BertConfig(**SIZE, feature_projection_input_dim=160)),
        "whisper": lambda: WhisperModel(WhisperConfig(**WHISPER)),
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return makers[family]().eval()


@made_once
def save_speech(folder: Path, family: str) -> None:
    """A family's model and feature extractor in a folder."""
    model_of(family).save_pretrained(folder)
    if family == "w2v-bert":
        extractor: Any = SeamlessM4TFeatureExtractor()
    elif family == "whisper":
        extractor = WhisperFeatureExtractor()
    else:
        extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask="large" in family)
    extractor.save_pretrained(folder)


def save_ctranslate2(folder: Path) -> Path:
    """The Whisper of these weights in CTranslate2's form, for faster-whisper's encoder."""
    from ctranslate2.converters.transformers import WhisperLoader

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = WhisperForConditionalGeneration(WhisperConfig(**WHISPER)).eval()
    spec = WhisperLoader().get_model_spec(model)
    spec.register_vocabulary([f"<{number}>" for number in range(WHISPER["vocab_size"])])
    spec.validate()
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    return folder


def voice(seconds: float, seed: int = 0) -> np.ndarray:
    """Something like a voice: harmonics of a wandering pitch, and noise. Shape: (n,), 16 kHz."""
    draw = np.random.default_rng(seed)
    count = round(seconds * 16_000)
    pitch = 120 + 30 * np.sin(np.arange(count) / 16_000 * draw.uniform(2, 5))
    phase = 2 * np.pi * np.cumsum(pitch) / 16_000
    tones = sum(np.sin(number * phase) / number for number in range(1, 6))
    return (0.1 * tones + 0.01 * draw.normal(size=count)).astype(np.float32)
