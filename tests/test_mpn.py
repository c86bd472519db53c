"""The MPN layer: its options, shapes and states."""

import pytest
import torch

from mpn_lab import MPN

B, T, d, n = 3, 6, 4, 5


def layer(generator):
    core = MPN(d, n, eta_init="uniform", lam_init=0.7, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        core.b.normal_(generator=generator)
    return core


def test_sequence_in_two_parts_equals_the_whole(generator):
    core = layer(generator)
    x = torch.randn(B, T, d, dtype=torch.float64, generator=generator)
    whole, M_whole = core(x)
    first, M = core(x[:, :2])
    second, M = core(x[:, 2:], M)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(M, M_whole)


def test_zero_input_silences_the_memory(generator):
    """h = phi(b) whatever M holds: why a raw MPN cannot answer when the screen is blank."""
    core = layer(generator)
    M = torch.randn(B, n, d, dtype=torch.float64, generator=generator)
    h, _ = core(torch.zeros(B, 1, d, dtype=torch.float64), M)
    torch.testing.assert_close(h[:, 0], core.b.tanh().expand(B, n))


def test_lam_is_clamped_and_projected_back(generator):
    core = MPN(d, n, lam_max=0.9, generator=generator)
    with torch.no_grad():
        core.lam.fill_(1.5)
    clamped = core(torch.ones(1, 3, d))[0]
    core.project_()
    assert core.lam.item() == pytest.approx(0.9)
    torch.testing.assert_close(core(torch.ones(1, 3, d))[0], clamped)


def test_no_steps_and_no_sequences(generator):
    core = MPN(d, n, generator=generator)
    h, M, Ms = core(torch.zeros(2, 0, d), return_states=True)
    assert h.shape == (2, 0, n)
    assert Ms.shape == (2, 0, n, d)
    assert not M.any()
    assert core(torch.zeros(0, 3, d))[0].shape == (0, 3, n)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_size": 0}, "input_size is 0; expected 1 or more"),
        ({"lam_max": -1.0}, "lam_max is -1.0"),
        ({"lam_init": 1.5}, "lam_init is 1.5; expected 0 to 0.99"),
        ({"bound": 0.0}, "bound is 0.0; expected more than 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        MPN(**{"input_size": d, "hidden_size": n} | options)


def test_bad_shapes(generator):
    core = MPN(d, n, generator=generator)
    with pytest.raises(
        ValueError, match=r"input has shape \(2, 3, 7\); expected a tensor \[B, T, 4\]"
    ):
        core(torch.zeros(2, 3, 7))
    with pytest.raises(ValueError, match=r"shape \(1, 5, 4\); expected M of \(2, 5, 4\)"):
        core(torch.zeros(2, 3, d), torch.zeros(1, n, d))
