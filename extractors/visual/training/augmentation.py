"""Faces as network input: resized and, in training, turned, moved, mirrored, lit differently and partly covered."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

TURN = math.radians(15)
SCALE = 0.15  # natural logarithm
SHIFT = 0.08  # as a share of half the side
CONTRAST = 0.3
BRIGHTNESS = 0.15
COVERED = 0.25  # share of the faces that get a covered rectangle
COVER = (0.15, 0.4)  # the rectangle's sides, as shares of the face's


def resized(tiles: Tensor, side: int) -> Tensor:
    """Shapes: tiles (B, H, W) uint8 -> (B, 1, side, side) float32 in [0, 1], bilinear."""
    pixels = tiles.unsqueeze(1).float() / 255
    return functional.interpolate(pixels, (side, side), mode="bilinear", align_corners=False)


def augmented(tiles: Tensor, side: int, random: Generator) -> Tensor:
    """One random variant of each face, resampled once. Shapes: tiles (B, H, W) uint8 -> (B, 1, side, side) float32."""
    count, device = len(tiles), tiles.device
    # All random numbers are drawn on the CPU: one seed gives the same faces on every device.
    turn, scale, across, down, mirror, contrast, brightness = _uniform((7, count), random).to(device)
    turn, scale = turn * TURN, torch.exp(scale * SCALE)
    sign = torch.where(mirror < 0, -1.0, 1.0)
    cos, sin = torch.cos(turn) * scale, torch.sin(turn) * scale
    matrix = torch.stack([cos * sign, -sin, across * SHIFT, sin * sign, cos, down * SHIFT], 1)  # (B, 6)
    grid = functional.affine_grid(matrix.view(count, 2, 3), [count, 1, side, side], align_corners=False)
    pixels = tiles.unsqueeze(1).float() / 255
    pixels = functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)  # (B, 1, S, S)
    middle = pixels.mean((2, 3), keepdim=True)
    pixels = (pixels - middle) * (1 + contrast * CONTRAST).view(-1, 1, 1, 1) + middle
    pixels = (pixels + (brightness * BRIGHTNESS).view(-1, 1, 1, 1)).clamp(0, 1)
    return torch.where(_cover(count, side, random, device), 0.5, pixels)


def _cover(count: int, side: int, random: Generator, device: torch.device) -> Tensor:
    """Rectangles over some of the faces. Shape: (B, 1, side, side) bool."""
    chance, wide, tall, left, top = (_uniform((5, count), random).to(device) + 1) / 2
    wide, tall = (COVER[0] + (COVER[1] - COVER[0]) * part for part in (wide, tall))
    left, top = left * (1 - wide), top * (1 - tall)
    place = (torch.arange(side, device=device) + 0.5) / side  # (S,)
    across = (place >= left[:, None]) & (place < (left + wide)[:, None])  # (B, S)
    along = (place >= top[:, None]) & (place < (top + tall)[:, None])
    covered: Tensor = across[:, None, :] & along[:, :, None] & (chance < COVERED)[:, None, None]
    return covered.unsqueeze(1)


def _uniform(shape: tuple[int, ...], random: Generator) -> Tensor:
    """Uniform in [-1, 1)."""
    return torch.rand(shape, generator=random) * 2 - 1
