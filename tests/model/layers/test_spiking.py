import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikingjelly.activation_based import functional, neuron, surrogate

from bigfusion.model.layers.spiking import RateCoding, lif_step


def test_hand_computed_steps():
    """Current 0.6, decay 0.5, threshold 1: 0.6 | 0.9 | 1.05 fires and is reset | 0.6 | ..."""
    potential, trace = torch.zeros(1), []
    for _ in range(5):
        spikes, potential = lif_step(potential, torch.tensor([0.6]), 0.5, 1.0, 2.0)
        trace.append((spikes.item(), round(potential.item(), 6)))
    assert trace == [(0, 0.6), (0, 0.9), (1, 0), (0, 0.6), (0, 0.9)]


def test_eq_8_as_it_is_printed():
    """With U, not the potential after reset, as the state, and every threshold its own."""
    torch.manual_seed(0)
    current, beta, thresholds = 2 * torch.rand(50), 0.9, [0.5 * (1 + 0.2 * t) for t in range(6)]
    before = torch.zeros(50)  # U(t-1)
    total, last = torch.zeros(50), math.inf
    for threshold in thresholds:
        charged = beta * before * (1 - (before - last >= 0).float()) + current  # H(t)
        total += (charged - threshold >= 0).float()
        before, last = charged, threshold
    rates = RateCoding(steps=6, decay=beta, threshold=0.5, rise=0.2)(current.view(1, 1, 50))
    torch.testing.assert_close(rates.view(50), total / 6)


@settings(deadline=None)
@given(st.integers(1, 8), st.floats(1.01, 20.0), st.floats(0.1, 3.0), st.integers(0, 2**31))
def test_spikingjelly_agrees_step_by_step(steps, tau, threshold, seed):
    current = 2 * torch.randn(4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    library = neuron.LIFNode(
        tau=tau,
        decay_input=False,
        v_threshold=threshold,
        v_reset=0.0,
        surrogate_function=surrogate.ATan(2.0),
        step_mode="m",
        store_v_seq=True,
    )
    current.requires_grad_()
    expected = library(current.expand(steps, 4, 5))
    potential, spikes = torch.zeros_like(current), []
    for step in range(steps):
        fired, potential = lif_step(potential, current, 1 - 1 / tau, threshold, 2.0)
        assert torch.equal(fired, expected[step])
        torch.testing.assert_close(potential, library.v_seq[step])
        spikes.append(fired)
    weights = torch.randn(steps, 4, 5, dtype=torch.float64)
    (library_gradient,) = torch.autograd.grad((weights * expected).sum(), current)
    (gradient,) = torch.autograd.grad((weights * torch.stack(spikes)).sum(), current)
    torch.testing.assert_close(gradient, library_gradient)
    functional.reset_net(library)


def test_the_module_is_the_librarys_mean_rate_without_a_rising_threshold():
    current = torch.randn(2, 3, 4)
    library = neuron.LIFNode(tau=10.0, decay_input=False, v_threshold=0.5, v_reset=0.0, step_mode="m")
    rates = RateCoding(steps=7, decay=0.9, threshold=0.5, rise=0.0)(current)
    torch.testing.assert_close(rates, library(current.expand(7, 2, 3, 4)).mean(0))


def test_the_gradient_is_the_arctan_surrogate():
    distance = torch.linspace(-2, 2, 9, dtype=torch.float64, requires_grad=True)
    spikes, _ = lif_step(torch.zeros_like(distance), distance + 1, 0.9, 1.0, 3.0)
    (gradient,) = torch.autograd.grad(spikes.sum(), distance)
    torch.testing.assert_close(gradient, 3 / (2 * (1 + (math.pi / 2 * 3 * distance.detach()) ** 2)))


def test_rates_are_multiples_of_one_step_and_grow_with_the_current():
    current = torch.linspace(-1, 3, 100).view(1, 1, 100)
    rates = RateCoding(steps=4, decay=0.9, threshold=0.5, rise=0.2)(current)
    assert set((rates * 4).unique().tolist()) <= {0, 1, 2, 3, 4}
    assert (rates.diff() >= 0).all()
    assert rates[0, 0, 0] == 0 and rates[0, 0, -1] == 1


def test_a_rising_threshold_silences_weak_currents():
    weak = torch.full((1, 1, 1), 0.3)
    steady = RateCoding(steps=8, decay=0.5, threshold=0.5, rise=0.0)(weak)
    rising = RateCoding(steps=8, decay=0.5, threshold=0.5, rise=0.5)(weak)
    assert rising < steady


def test_no_state_is_kept():
    coding, current = RateCoding(steps=4, decay=0.9, threshold=0.5, rise=0.2), torch.randn(2, 3, 4)
    assert torch.equal(coding(current), coding(current))
    assert not coding.state_dict()


@settings(deadline=None)
@given(st.integers(1, 8), st.floats(0, 1), st.floats(0.1, 3.0), st.floats(0, 1), st.integers(0, 2**31))
def test_the_library_and_the_loop_fire_alike(steps, decay, threshold, rise, seed):
    torch.manual_seed(seed)
    rates, gradients = [], []
    inputs, weights = 2 * torch.randn(5, 6), torch.randn(5, 6)
    coding = RateCoding(steps, decay, threshold, rise, 2.0)
    for way in (coding, coding.looped):
        current = inputs.clone().requires_grad_()
        rates.append(way(current))
        gradients.append(torch.autograd.grad((weights * rates[-1]).sum(), current)[0])
    assert torch.equal((steps * rates[0]).round(), (steps * rates[1]).round())  # the same spikes
    torch.testing.assert_close(rates[0], rates[1], atol=1e-6, rtol=0)
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-6, rtol=1e-5)
