"""A record as a page."""

from dataclasses import replace

import numpy as np
import pytest

from ecgvlm.judge.cautions import cut_off
from ecgvlm.printed import print_record
from ecgvlm.record import Record
from ecgvlm.simulate import Simulation, simulate


@pytest.fixture(scope="module")
def columns() -> Record:
    """What `digitize` writes of a page in four columns: 2.5 s of each lead, and lead II whole."""
    record, _ = simulate(Simulation(rate_bpm=55), 3)
    signal, column = np.full_like(record.signal, np.nan), round(2.5 * record.fs)
    for k in range(12):
        part = slice(k // 3 * column, (k // 3 + 1) * column)
        signal[k, part] = record.signal[k, part]
    signal[1] = record.signal[1]
    return replace(record, signal=signal)


def test_leads_of_a_page_in_columns_are_neither_flat_nor_cut_off(columns):
    page = print_record(columns)
    assert page.flat == ()
    assert not cut_off(page)
    v6 = next(strip for strip in page.strips if strip.lead == "V6")
    assert (v6.t0, v6.t1) == (7.5, 10.0)
    assert v6.x1 - v6.x0 == pytest.approx(2.5 * page.mm_per_s)


def test_a_lead_of_less_than_a_column_shows_no_signal(columns):
    signal = columns.signal.copy()
    signal[11, : -round(0.6 * columns.fs)] = np.nan
    assert print_record(replace(columns, signal=signal)).flat == ("V6",)


def test_a_lead_without_signal_is_still_flat(columns):
    signal = columns.signal.copy()
    signal[6] = np.where(np.isfinite(signal[6]), 0.0, np.nan)
    assert print_record(replace(columns, signal=signal)).flat == ("V1",)


def test_of_a_longer_record_it_is_said_that_it_goes_on(columns):
    def longer(seconds: float) -> Record:
        beyond = np.zeros((12, round(seconds * columns.fs)), np.float32)
        return replace(columns, signal=np.concatenate([columns.signal, beyond], axis=1))

    assert print_record(longer(20.0)).longer
    assert not print_record(longer(0.5)).longer
    assert not print_record(columns).longer
