"""One seed, and the states that a resumed run continues from."""

import json
import random

import numpy as np
import torch

from bigfusion.model.seed import deterministic, random_states, restore_random_states, seed_everything


def draws() -> list[float]:
    legacy = np.random.mtrand._rand
    return [
        random.random(),
        random.gauss(0, 1),
        legacy.random(),
        legacy.standard_normal(),
        torch.rand(()).item(),
        torch.randn(()).item(),
    ]


def test_the_same_seed_draws_the_same() -> None:
    seed_everything(7)
    first = draws()
    seed_everything(7)
    assert draws() == first
    seed_everything(8)
    assert all(one != other for one, other in zip(draws(), first, strict=True))


def test_the_states_survive_json() -> None:
    seed_everything(7)
    draws()  # an odd number of Gaussians: the generators keep the second one of a pair
    tensors, others = random_states()
    others = json.loads(json.dumps(others))
    first = [draws() for _ in range(3)]
    restore_random_states(tensors, others)
    assert [draws() for _ in range(3)] == first


def test_the_callers_flags_and_threads_come_back() -> None:
    before = (torch.are_deterministic_algorithms_enabled(), torch.get_num_threads())
    with deterministic(threads=2):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.get_num_threads() == 2
    assert (torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()) == before
