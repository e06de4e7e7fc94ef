import math

import pytest
import torch

from bigfusion.model.data.batch import UNLABELLED
from bigfusion.model.layers.retrieval import Retrieval


def fitted(texts, labels, present=None, **changes):
    model = Retrieval(2, 3, **{"sharpness": 10.0, "prior": 0.3} | changes)
    texts = torch.tensor(texts)
    model.fit([texts[:1], texts[1:]], torch.ones(len(texts), dtype=torch.bool) if present is None else present, labels)
    return model


TEXTS, LABELS = [[2.0, 0.0], [0.0, 3.0], [0.0, -1.0], [1.0, 0.0]], torch.tensor([0, 1, 1, 2])


def test_hand_computed():
    found = fitted(TEXTS, LABELS)(torch.tensor([[5.0, 0.0]]), torch.tensor([True]))
    far = math.exp(-10)  # at right angles; the two in its direction vote with 1 each
    votes = [1 + 0.3 / 4, 2 * far + 0.3 / 2, 1 + 0.3 / 4]
    expected = [math.log(vote / sum(votes) / share) for vote, share in zip(votes, (0.25, 0.5, 0.25), strict=True)]
    torch.testing.assert_close(found, torch.tensor([expected]))


def test_an_absent_text_and_one_that_nothing_is_like_change_nothing():
    model = fitted(TEXTS, LABELS, sharpness=60.0)
    found = model(torch.tensor([[5.0, 0.0], [-3.0, -3.0]]), torch.tensor([False, True]))
    assert not found[0].any()
    torch.testing.assert_close(found[1], torch.zeros(3), atol=1e-6, rtol=0)


def test_neither_an_absent_text_nor_an_unlabelled_one_is_remembered():
    labels = torch.tensor([0, UNLABELLED, 1, 2])
    model = fitted(TEXTS, labels, torch.tensor([True, True, True, False]))
    assert torch.equal(model.texts, torch.tensor([[1.0, 0.0], [0.0, -1.0]])) and model.labels.tolist() == [0, 1]
    assert model(torch.tensor([[1.0, 0.0]]), torch.tensor([True])).isfinite().all(), "class 2 was never seen"


def test_before_the_fit_it_says_nothing():
    found = Retrieval(2, 3, 10.0, 0.3)(torch.ones(4, 2), torch.ones(4, dtype=torch.bool))
    assert found.shape == (4, 3) and not found.any()


def test_its_state_is_loaded_into_one_that_was_not_fitted():
    model, other = fitted(TEXTS, LABELS), Retrieval(2, 3, 10.0, 0.3)
    other.load_state_dict(model.state_dict())
    said = torch.randn(5, 2), torch.ones(5, dtype=torch.bool)
    assert torch.equal(other(*said), model(*said))
    with pytest.raises(RuntimeError, match="size mismatch for texts"):
        Retrieval(7, 3, 10.0, 0.3).load_state_dict(model.state_dict())


def test_half_precision_votes_as_float32_does():
    model = fitted(TEXTS, LABELS)
    texts, present = torch.tensor([[5.0, 1.0], [1.0, -2.0]]), torch.ones(2, dtype=torch.bool)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model(texts, present)
    assert torch.equal(found, model(texts, present))
