"""Signals that carry names, as every format has them, into the twelve leads of a `Record`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from ecgvlm.errors import EcgError, unreadable
from ecgvlm.record import LEADS, MachineReading, Record

MV = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "nv": 1e-6, "v": 1e3}  # one unit in mV
MV["\ufffdv"] = MV["uv"]  # a µ that was written in another encoding
_ROWS = {lead.lower(): row for row, lead in enumerate(LEADS)}
# "Lead I", "ECG DII", "D2", "MDC_ECG_LEAD_V1", "V 1", "V-2", "C3" (IEC), "V6-REF", "aVR (mV)"
_LEAD_NAME = re.compile(
    r"(?:MDC_ECG_LEAD_|(?:ECG|EKG|LEAD)[ _:-]*)*"
    r"(?:D?(?P<limb>I{1,3})|D(?P<numbered>[123])"
    r"|A[ _-]?V[ _-]?(?P<goldberger>[RLF])|[VC][ _-]?(?P<chest>[1-6]))"
    r"(?:[ _:-]*(?:REF|WCT|CT|AVG|RAW))?(?:\s+[([]?[MUNµμ]V[)\]]?)?",
    re.IGNORECASE,
)
_DATE = re.compile(r"(\d{4})[-/.]?(\d\d)[-/.]?(\d\d)|(\d\d)[-/.](\d\d)[-/.](\d{4})")
_SLOWEST, _FASTEST = 50, 5000  # Hz at which an ECG is sampled
_MOST_MV = 100.0  # that a lead may swing, without its highest and lowest 0.5%
_SECONDS = 10.0  # a resting ECG
_USUAL = (  # Hz
    100, 120, 125, 128, 180, 200, 240, 250, 256, 257, 300, 333, 360,
    400, 480, 500, 512, 600, 800, 960, 977, 1000, 1024, 1200, 2000, 2048,
)  # fmt: skip
_KNOWN = {4096: 400.0, 2048: 250.0, 4000: 400.0}  # samples -> Hz where that is not ten seconds: CODE-15%
_MICROVOLTS = 50.0  # swing from which on values can be no millivolts
_TENTHS = 8.0  # swing from which on they are 1e-4 V, as CODE-test's
_LIMITS = {  # of what a machine may have measured; beyond, it says "unknown" (0, 999, 32767, 29999 ...)
    "heart_rate_bpm": (10, 400), "pr_ms": (30, 900), "qrs_ms": (20, 500), "qt_ms": (100, 1200),
    "qtc_ms": (100, 1200), "axis_deg": (-180, 360),
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """Leads that were recorded together. signal: [k, n] mV, a row for each of names. start: s."""

    names: Sequence[str]
    signal: np.ndarray
    fs: float
    start: float = 0.0


def lead_row(name: str | None) -> int | None:
    """Row in `LEADS` of a lead called `AVR`, `Lead I`, `MDC_ECG_LEAD_V1`, `ECG DII`, `V-2` ..., or None."""
    match = _LEAD_NAME.fullmatch((name or "").strip())
    if match is None:
        return None
    if match["limb"]:
        return _ROWS[match["limb"].lower()]
    if match["numbered"]:
        return int(match["numbered"]) - 1
    return _ROWS[f"av{match['goldberger'].lower()}"] if match["goldberger"] else _ROWS[f"v{match['chest']}"]


def record_of(parts: Sequence[Part], source: str | Path, **known: Any) -> Record:
    """Parts on one time axis as a Record: limb leads derived from any two of I, II, III, NaN where nothing
    is.

    The fastest part's sampling rate holds; a lead that several parts have is joined. Raises EcgError.
    """
    for part in parts:
        if not _SLOWEST <= part.fs <= _FASTEST:
            raise unreadable(source, f"a sampling rate of {part.fs:g} Hz cannot be an ECG's")
    useful = [part for part in parts if any(lead_row(name) is not None for name in part.names)]
    if not useful:
        if parts and not any((name or "").strip() for part in parts for name in part.names):
            raise unreadable(
                source, "the record does not name its leads; nothing tells which signal is which"
            )
        raise unreadable(source, f"holds none of the leads {', '.join(LEADS)}")
    fs = max(part.fs for part in useful)
    begin = min(part.start for part in useful)
    ends = [round((part.start - begin + part.signal.shape[1] / part.fs) * fs) for part in useful]
    leads = np.full((12, max(ends)), np.nan, np.float32)
    for part in useful:
        _place(leads, part, round((part.start - begin) * fs), fs, source)
    if not np.isfinite(leads).any():
        raise unreadable(source, f"holds none of the leads {', '.join(LEADS)}")
    leads[~np.isfinite(leads)] = np.nan
    low, high = np.nanpercentile(leads[np.isfinite(leads).any(1)], (0.5, 99.5), axis=1)
    if (swing := float(np.median(high - low))) > _MOST_MV:
        raise unreadable(source, f"leads of {swing:,.0f} mV are no ECG's; its gain or unit is wrong")
    given = {lead_row(name) for part in useful for name in part.names}
    return Record(_derived(leads, given), float(fs), source=str(source), **known)


def _place(leads: np.ndarray, part: Part, first: int, fs: float, source: str | Path) -> None:
    given = set()
    for name, row in zip(part.names, part.signal):
        i = lead_row(name)
        if i is None:
            continue
        if i in given:
            raise unreadable(source, f"lead {LEADS[i]} is there twice")
        given.add(i)
        if part.fs != fs:
            count = round(len(row) * fs / part.fs)
            row = np.interp(np.arange(count) * (part.fs / fs), np.arange(len(row)), row)
        place = leads[i, first : first + len(row)]
        np.copyto(place, row[: len(place)], where=~np.isfinite(place))


def _derived(leads: np.ndarray, given: Collection[int | None]) -> np.ndarray:
    """The limb leads that follow from any two of I, II and III by Einthoven's and Goldberger's relations.

    given: rows that the file holds, which stay as they are.
    """
    if 0 not in given and {1, 2} <= set(given):
        leads[0] = leads[1] - leads[2]
    if 1 not in given and {0, 2} <= set(given):
        leads[1] = leads[0] + leads[2]
    one, two = leads[0], leads[1]
    for i, row in {2: two - one, 3: -(one + two) / 2, 4: one - two / 2, 5: two - one / 2}.items():
        if i not in given:
            leads[i] = row
    return leads


def step_of(signal: np.ndarray) -> float:
    """uV of the finest whole tenth in which 16 bits hold leads in mV, the lowest number left for NaN.

    Steps of a few uV, as devices have them, are seen where a finding is near its limit.
    """
    highest = 1000 * float(np.nanmax(np.abs(signal), initial=0.0))
    return max(1.0, np.ceil(highest / (0.1 * 32767))) / 10


def assumed_mv(leads: np.ndarray) -> np.ndarray:
    """Leads [k, n] of which no unit is known, in mV: in mV, 0.1 mV or uV they come, as their swing tells."""
    leads = leads.astype(np.float32)
    if not np.isfinite(leads).any():
        return leads
    low, high = np.nanpercentile(leads, (0.5, 99.5), axis=1)
    swing = float(np.nanmedian(high - low))
    return leads * (1e-3 if swing > _MICROVOLTS else 0.1 if swing > _TENTHS else 1.0)


def assumed_rate(samples: int, source: str | Path) -> float:
    """Hz of leads of which no rate is known: they last ten seconds. Raises EcgError where they cannot."""
    fs = _KNOWN.get(samples, samples / _SECONDS)
    if min(abs(fs / usual - 1) for usual in _USUAL) > 0.02:
        raise EcgError(
            "unsupported_format",
            f"{source}: {samples:,} samples are not ten seconds at any usual rate; save CSV with time_s",
        )
    return fs


def assumed_record(leads: np.ndarray, source: str, fs: float | None = None) -> Record:
    """Twelve leads in their usual order, [12, n] or [n, 12], of which neither names nor units are known, and
    no rate where fs is None. Raises EcgError."""
    leads = leads if len(leads) == 12 else leads.T
    fs = assumed_rate(leads.shape[1], source) if fs is None else fs
    return record_of([Part(LEADS, assumed_mv(leads), fs)], source)


def in_mv(unit: str, source: str | Path, signal: str) -> float:
    """One unit in mV. Raises EcgError where it is none of voltage."""
    if unit.strip().lower() not in MV:
        raise unreadable(source, f"signal {signal} is in {unit!r}, not in a unit of voltage")
    return MV[unit.strip().lower()]


def machine_reading(
    measured: Mapping[str, object],
    statements: Sequence[str],
    age: float | None = None,
    sex: str | None = None,
) -> MachineReading | None:
    """What a device states, without its words for "unknown"; None where that is nothing."""
    numbers = {name: number(str(value)) for name, value in measured.items() if value is not None}
    known = {
        name: x for name, x in numbers.items() if x is not None and _LIMITS[name][0] <= x <= _LIMITS[name][1]
    }
    said = tuple(line for text in statements if (line := " ".join(text.split())))
    return MachineReading(known, said, age, sex) or None


def number(text: str) -> float | None:
    """A number, also with a decimal comma, None where the text is none."""
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def age_of(text: str) -> float | None:
    """Age in years, None where the text is none."""
    age = number(text)
    return age if age is not None and 0 <= age < 150 else None


def age_in(text: str) -> float | None:
    """Age in years of DICOM's kind ("056Y", "006M", "03W", "010D"), None where the text is none."""
    years = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}.get(text[-1:].upper())
    age = number(text[:-1])
    return None if years is None or age is None else age_of(str(age * years))


def age_at(birth: str, day: str) -> float | None:
    """Whole years between two days, each as YYYYMMDD..., YYYY-MM-DD or MM-DD-YYYY; None where one is none."""
    born, then = _day(birth), _day(day)
    if born is None or then is None or then < born:
        return None
    return age_of(str((then - born).days // 365.25))


def _day(text: str) -> date | None:
    if (found := _DATE.match(text.strip())) is None:
        return None
    year, month, day = found.group(1, 2, 3) if found[1] else found.group(6, 4, 5)
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def sex_of(text: str) -> str | None:
    """ "M" or "F", None where the text tells neither."""
    return {"m": "M", "f": "F", "w": "F"}.get(text.strip().lower()[:1])


def cause(error: Exception) -> str:
    """What an exception says, or else its kind."""
    return str(error) or type(error).__name__


def damaged(source: str | Path, kind: str, error: Exception) -> EcgError:
    """The error for a file that its format's reader stumbles over."""
    return (
        error
        if isinstance(error, EcgError)
        else unreadable(source, f"not a readable {kind} ({cause(error)})")
    )
