"""What a second visual extractor costs: two in one look at the clips, and each alone.

Pairs: on faces, the DenseNet with a ViT-B/32 of random weights (its time does not depend on them), and two encoders so
small that what is left is decoding and search; on whole frames, two such small ones, where only decoding is shared, of
the clips as they are and enlarged to 1920 pixels.

Run from the project's root: python -m tests.benchmarks.bench_viewing FOLDER [clips at most]
FOLDER holds clips. One thread, processor seconds a clip, the least of three rounds.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import CLIPImageProcessor, ViTConfig, ViTModel

from bigfusion.extractors.files import sha256_of
from bigfusion.extractors.visual.image_encoder import ImageEncoderExtractor, ImageEncoderSettings
from bigfusion.extractors.visual.speaker_face import VisualExtractor, VisualSettings
from bigfusion.extractors.visual.viewing import ClipExtractor, view
from bigfusion.pipeline.schema import MediaSpan, Utterance
from tests.benchmarks.bench_visual import least
from tests.helpers.tiny_images import saved


def vit(folder: Path) -> Path:
    """ViT-B/32 of random weights."""
    torch.manual_seed(0)
    ViTModel(ViTConfig(patch_size=32)).save_pretrained(folder)
    CLIPImageProcessor().save_pretrained(folder)
    return folder


def images(folder: Path, on: str, pool: str = "mean") -> ImageEncoderExtractor:
    settings = {"model": str(folder), "on": on, "pool": (pool,), "device": "cpu", "threads": 1}
    return ImageEncoderExtractor(ImageEncoderSettings.model_validate(settings), sha256_of)


def compare(name: str, pair: Sequence[ClipExtractor], utterances: Sequence[Utterance]) -> None:
    for one in pair:
        one.load()
    view([(utterances[0], pair)])
    alone = [least(lambda: one.extract(utterances)) / len(utterances) for one in pair]  # noqa: B023  # at once
    both = least(lambda: view([(utterance, pair) for utterance in utterances])) / len(utterances)
    print(
        f"{name}: alone {alone[0]:.3f} and {alone[1]:.3f} s, together {both:.3f} s: {both / max(alone):.2f} times the"
        f" dearer one, {both / sum(alone):.2f} of the sum"
    )


def main() -> None:
    folder, most = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 4
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".mp4", ".mkv", ".avi", ".webm"))[:most]
    with tempfile.TemporaryDirectory() as scratch:
        large, tiny = vit(Path(scratch) / "large"), saved(Path(scratch) / "tiny", "vit")
        wide = []
        for path in paths:
            wide.append(Path(scratch) / path.name)
            how = ["-vf", "scale=1920:-2", "-an", "-preset", "fast", "-t", "6"]
            subprocess.run(["ffmpeg", "-v", "error", "-i", path, *how, wide[-1]], check=True)
        clips, enlarged = (
            [Utterance(path.name, "", visual=MediaSpan(path, "0")) for path in several] for several in (paths, wide)
        )
        dense = VisualExtractor(VisualSettings(device="cpu", threads=1), sha256_of)
        compare("faces, DenseNet and ViT-B/32", [dense, images(large, "face")], clips)
        compare("faces, two small encoders", [images(tiny, "face"), images(tiny, "face", "max")], clips)
        small = [images(tiny, "frame"), images(tiny, "frame", "max")]
        compare("frames, two small encoders", small, clips)
        compare("frames of 1920 pixels, two small encoders", small, enlarged)


if __name__ == "__main__":
    main()
