import pytest
import torch

from bigfusion.model.layers.fusion import Fusion

WIDTHS = {"text": 5, "audio": 4, "visual": 3}


def inputs(dtype=torch.float32):
    features = {name: torch.randn(2, 6, width, dtype=dtype) for name, width in WIDTHS.items()}
    present = {name: torch.rand(2, 6) < 0.6 for name in WIDTHS}
    return features, present


def test_equals_the_maps_written_out():
    torch.manual_seed(0)
    fusion = Fusion(WIDTHS, 8)
    for vector in fusion.absent.values():
        torch.nn.init.normal_(vector)
    features, present = inputs()
    fused = fusion(features, present)
    for row in range(2):
        for place in range(6):
            parts = [
                fusion.projections[name].weight @ features[name][row, place] + fusion.projections[name].bias
                if present[name][row, place]
                else fusion.absent[name]
                for name in WIDTHS
            ]
            expected = fusion.join.weight @ torch.cat(parts) + fusion.join.bias
            torch.testing.assert_close(fused[row, place], expected)


def test_absent_rows_may_hold_anything():
    torch.manual_seed(1)
    fusion = Fusion(WIDTHS, 8)
    features, present = inputs()
    spoilt = {name: value.masked_fill(~present[name].unsqueeze(-1), torch.nan) for name, value in features.items()}
    fused = fusion(spoilt, present)
    assert torch.equal(fused, fusion(features, present))
    fused.square().sum().backward()
    for name, parameter in fusion.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(("audio_width", "reduced"), [(None, False), (4, False), (9, False), (2, True)])
def test_the_audio_reduction_is_there_only_where_it_reduces(audio_width, reduced):
    fusion = Fusion(WIDTHS, 8, audio_width)
    assert (fusion.reduction is not None) == reduced
    assert fusion.projections["audio"].in_features == (audio_width if reduced else 4)
    assert fusion(*inputs()).shape == (2, 6, 8)


def test_the_reduction_is_a_linear_map_before_the_projection():
    fusion = Fusion({"audio": 4}, 8, audio_width=2)
    features = torch.randn(1, 1, 4)
    fused = fusion({"audio": features}, {"audio": torch.ones(1, 1, dtype=torch.bool)})
    torch.testing.assert_close(fused, fusion.join(fusion.projections["audio"](fusion.reduction(features))))


def test_one_modality_without_audio_needs_no_reduction():
    fusion = Fusion({"text": 5}, 8, audio_width=2)
    assert fusion.reduction is None
    features, present = inputs()
    assert fusion(features, present).shape == (2, 6, 8)


def test_gradient():
    torch.manual_seed(2)
    fusion = Fusion(WIDTHS, 3, audio_width=2).double()
    features, present = inputs(torch.float64)
    tensors = [value.requires_grad_() for value in features.values()]
    assert torch.autograd.gradcheck(lambda *values: fusion(dict(zip(WIDTHS, values, strict=True)), present), tensors)
