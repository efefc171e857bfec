"""Variations of observations: what may change, and what stays."""

import numpy as np
import pytest

from ecgvlm.judge.findings import BEAT, SAMPLES

torch = pytest.importorskip("torch")
from ecgvlm.train.small.variations import mixed, reprinted, varied  # noqa: E402


def test_what_was_printed_again_is_of_the_same_record():
    torch.manual_seed(0)
    signals = torch.arange(6.0)[:, None, None] * torch.ones(6, 12, SAMPLES)
    shown = reprinted(signals).numpy()
    assert np.isfinite(shown).any(axis=2).all()
    assert np.isnan(shown).any()
    assert np.allclose(np.nanmean(shown, axis=(1, 2)), np.arange(6), atol=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_variations_keep_what_is_printed_where_it_is_and_about_as_it_is(seed):
    torch.manual_seed(seed)
    t = torch.arange(SAMPLES) / 100
    leads = torch.sin(6.283 * 1.2 * t).repeat(32, 12, 1)
    leads[:, 6:, 500:] = torch.nan
    beat = torch.ones(32, 12, BEAT)
    strip, median = varied(leads, beat, torch.full((32,), 0.03))
    assert strip.shape == leads.shape
    assert median.shape == beat.shape
    printed = strip.isfinite().float().mean().item()
    assert 0.75 * 0.8 < printed < 0.75  # some is lost, nothing is made up
    assert strip[strip.isfinite()].abs().max() < 2
    whole = median.isfinite().all(2).all(1)
    assert abs(median[whole].mean().item() - 1) < 0.1


def test_only_what_both_print_is_mixed():
    one = torch.tensor([[[1.0, torch.nan, 1.0]]])
    other = torch.tensor([[[3.0, 3.0, torch.nan]]])
    assert torch.allclose(mixed(one, other, 0.75), torch.tensor([[[1.5, 3.0, 0.75]]]))
