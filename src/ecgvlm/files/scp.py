"""SCP-ECG (EN 1064, ISO 11073-91064): numbered sections; leads as 16-bit values or Huffman codes, as
differences, with or without a reference beat taken away.

No library is taken: `ecgdatakit` reads SCP too, but brings 48 MB of network weights with it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from ecgvlm.errors import unreadable
from ecgvlm.files.leads import Part, age_of, machine_reading, record_of
from ecgvlm.record import LEADS, MachineReading, Record

_LEADS = {
    1: "I",
    2: "II",
    **{i + 2: f"V{i}" for i in range(1, 7)},
    61: "III",
    62: "aVR",
    63: "aVL",
    64: "aVF",
}
_HEADER = 16  # bytes of a section's header
_DEFAULT_TABLE = 19999
_UNKNOWN = (29999, 65535)
_AGE, _SEX = 4, 8  # tags of section 1
_YEARS = {1: 1.0, 2: 1 / 12, 3: 7 / 365.25, 4: 1 / 365.25, 5: 1 / 8766}
_MOST_SAMPLES = 2_000_000


@dataclass(frozen=True)
class _Lead:
    name: str
    start: int
    end: int  # samples from 1, both within

    @property
    def count(self) -> int:
        return self.end - self.start + 1


@dataclass(frozen=True)
class _Code:
    """A Huffman code: bits in all of it; a value, or where `switch` the number of the table to go on with."""

    bits: int
    value: int
    switch: bool = False


_Table = dict[tuple[int, int], _Code]  # (bits of the prefix, prefix) -> code


@dataclass(frozen=True)
class _Beat:
    """Where a beat of type 0 stands in the rhythm, samples from 1."""

    start: int
    fiducial: int
    end: int


def is_scp(data: bytes) -> bool:
    """Whether section 0 begins after checksum and size; old files do not spell out `SCPECG` in it."""
    if len(data) < 32:
        return False
    (size,) = struct.unpack_from("<I", data, 2)
    section, length = struct.unpack_from("<HI", data, 8)
    named = data[16:22] == b"SCPECG"
    return section == 0 and (
        named or (22 <= length <= size == len(data) and data[14] in (10, 11, 12, 13, 20))
    )


def read_scp(data: bytes, name: str) -> Record:
    """The rhythm leads, with what the device measured and stated. Raises EcgError, or as damage has it."""
    sections = _sections(data)
    if 6 not in sections or 3 not in sections:
        raise unreadable(name, "the SCP-ECG file holds no rhythm (sections 3 and 6)")
    leads, flags = _leads(sections[3])
    if not leads:
        raise unreadable(name, "the SCP-ECG file holds no leads")
    tables = _tables(sections[2]) if 2 in sections else None
    signal, fs = _rhythm(sections, leads, tables, bool(flags & 1))
    age, sex = _patient(sections.get(1, b""))
    machine = _machine(sections)
    first = min(lead.start for lead in leads)
    parts = [
        Part([lead.name], row[None], fs, (lead.start - first) / fs)
        for lead, row in zip(leads, signal)
        if lead.name in LEADS
    ]
    return record_of(parts, name, age=age, sex=sex, machine=machine)


def _sections(data: bytes) -> dict[int, bytes]:
    """Number of a section -> what stands after its header."""
    (length,) = struct.unpack_from("<I", data, 10)
    found = {}
    for at in range(6 + _HEADER, min(6 + length, len(data)) - 9, 10):
        number, size, index = struct.unpack_from("<HII", data, at)
        if size > _HEADER and 0 < index <= len(data) and number < 32:
            found[number] = data[index - 1 + _HEADER : index - 1 + size]
    return found


def _leads(section: bytes) -> tuple[list[_Lead], int]:
    """The leads in their order, and the section's flags."""
    leads = []
    for i in range(section[0]):
        start, end, code = struct.unpack_from("<IIB", section, 2 + 9 * i)
        if not 0 < end - start + 1 <= _MOST_SAMPLES:
            raise ValueError(f"a lead from sample {start} to {end}")
        leads.append(_Lead(_LEADS.get(code, "-"), start, end))
    return leads, section[1]


def _tables(section: bytes) -> list[_Table]:
    """Huffman tables; the standard's own where the section names it."""
    (count,) = struct.unpack_from("<H", section)
    if count == _DEFAULT_TABLE:
        return [_default_table()]
    tables, at = [], 2
    for _ in range(count):
        (codes,) = struct.unpack_from("<H", section, at)
        at += 2
        table: _Table = {}
        for _ in range(codes):
            prefix, bits, mode, value, code = struct.unpack_from("<BBBhI", section, at)
            at += 9
            turned = int(f"{code:032b}"[::-1][:prefix], 2)  # the first bit is stored last
            table[prefix, turned] = _Code(bits, value, switch=mode == 0)
        tables.append(table)
    return tables


def _default_table() -> _Table:
    """Zero is 0; +-n, up to 8, are n ones, a zero and the sign; then 8 and 16 bits as they are."""
    table: _Table = {(1, 0): _Code(1, 0)}
    for n in range(1, 9):
        ones = (1 << n) - 1
        table[n + 2, ones << 2] = _Code(n + 2, n)
        table[n + 2, ones << 2 | 1] = _Code(n + 2, -n)
    return table | {(10, 0b1111111110): _Code(18, 0), (10, 0b1111111111): _Code(26, 0)}


def _decode(data: bytes, count: int, tables: list[_Table]) -> np.ndarray:
    """[count] values of a stream of Huffman codes, the highest bit of a byte first."""
    bits = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}"
    lengths = [sorted({prefix for prefix, _ in table}) for table in tables]
    out = np.zeros(count, np.int64)
    at = n = number = 0
    while n < count:
        for prefix in lengths[number]:
            if code := tables[number].get((prefix, int(bits[at : at + prefix] or "0", 2))):
                break
        else:
            raise ValueError("an unknown Huffman code")
        if at + max(prefix, code.bits) > len(bits):
            raise ValueError(f"{count} samples are announced, {n} are there")
        at += prefix
        if code.switch:
            number = code.value - 1
            continue
        more = code.bits - prefix
        value = int(bits[at : at + more], 2) if more else 0
        out[n] = code.value + value - (1 << more if more and value >> (more - 1) else 0)
        at += more
        n += 1
    return out


def _values(
    section: bytes, counts: list[int], tables: list[_Table] | None
) -> tuple[list[np.ndarray], int, int]:
    """The rows of section 5 or 6, nV a unit and us a sample. counts: samples of each."""
    nanovolts, interval, differences = struct.unpack_from("<HHB", section)
    sizes = struct.unpack_from(f"<{len(counts)}H", section, 6)
    ends = list(accumulate(sizes, initial=6 + 2 * len(counts)))
    rows = []
    for start, end, count in zip(ends, ends[1:], counts):
        if end > len(section):
            raise ValueError("a lead runs past its section")
        packed = section[start:end]
        row = (
            np.frombuffer(packed, "<i2", count).astype(np.int64)
            if tables is None
            else _decode(packed, count, tables)
        )
        rows.append(_summed(row, differences))
    return rows, nanovolts, interval


def _summed(row: np.ndarray, differences: int) -> np.ndarray:
    """Values from their first or second differences; the first one or two values stand as they are."""
    if differences == 0 or len(row) < 3:
        return row if differences == 0 else np.cumsum(row)
    if differences == 1:
        return np.cumsum(row)
    slopes = np.cumsum(np.concatenate([[row[1] - row[0]], row[2:]]))
    return np.concatenate([row[:1], row[0] + np.cumsum(slopes)])


def _rhythm(
    sections: dict[int, bytes], leads: list[_Lead], tables: list[_Table] | None, subtracted: bool
) -> tuple[list[np.ndarray], float]:
    """Each lead in mV, and the sampling rate in Hz."""
    places = [np.arange(lead.count, dtype=float) for lead in leads]
    (interval,) = struct.unpack_from("<H", sections[6], 2)
    if sections[6][5] == 1 and 4 in sections and 5 in sections:  # bimodal: fine about each QRS alone
        coarse, (interval,) = interval, struct.unpack_from("<H", sections[5], 2)
        zones = _protected(sections[4])
        places = [_kept_places(lead, zones, max(1, round(coarse / interval))) for lead in leads]
    rows, nanovolts, _ = _values(sections[6], [len(place) for place in places], tables)
    signal = [
        np.interp(np.arange(lead.count), place, row * (nanovolts * 1e-6))
        for lead, place, row in zip(leads, places, rows)
    ]
    if subtracted:
        length_ms, fiducial, beats = _beats(sections[4])
        samples = round(length_ms * 1000 / interval)
        reference, unit, _ = _values(sections[5], [samples] * len(leads), tables)
        for lead, row, beat in zip(leads, signal, reference):
            _add_beats(row, lead, beat * (unit * 1e-6), fiducial, beats)
    return signal, 1e6 / interval


def _protected(section: bytes) -> list[tuple[int, int]]:
    """First and last sample of the zones about each QRS that keep their full rate, from 1."""
    (count,) = struct.unpack_from("<H", section, 4)
    zones = (struct.unpack_from("<II", section, 6 + 14 * count + 8 * i) for i in range(count))
    return sorted((start, end) for start, end in zones if 0 < start <= end)


def _kept_places(lead: _Lead, zones: list[tuple[int, int]], rate: int) -> np.ndarray:
    """[k]: which sample of the lead each stored value is; outside the zones one is the mean of so many."""
    places: list[np.ndarray] = []
    at = lead.start
    for start, end in [*zones, (lead.end + 1, lead.end)]:
        start, end = max(at, min(start, lead.end + 1)), min(end, lead.end)
        groups = np.arange(at, start, rate)
        places += [(groups + np.minimum(groups + rate, start) - 1) / 2, np.arange(start, end + 1)]
        at = max(at, start, end + 1)
    return np.concatenate(places) - lead.start


def _beats(section: bytes) -> tuple[int, int, list[_Beat]]:
    """ms of the reference beat, the sample of its fiducial point, and where it was taken away."""
    length_ms, fiducial, count = struct.unpack_from("<HHH", section)
    found = [struct.unpack_from("<HIII", section, 6 + 14 * i) for i in range(count)]
    return length_ms, fiducial, [_Beat(*places) for kind, *places in found if kind == 0]


def _add_beats(row: np.ndarray, lead: _Lead, beat: np.ndarray, fiducial: int, beats: list[_Beat]) -> None:
    for place in beats:
        shift = place.fiducial - fiducial  # a sample of the beat stands so much later in the rhythm
        first = max(place.start, lead.start, shift + 1)
        last = min(place.end, lead.end, shift + len(beat))
        if first <= last:
            row[first - lead.start : last - lead.start + 1] += beat[first - shift - 1 : last - shift]


def _patient(section: bytes) -> tuple[float | None, str | None]:
    """Age in years and sex."""
    age, sex, at = None, None, 0
    while at + 3 <= len(section) and section[at] != 255:
        tag, size = struct.unpack_from("<BH", section, at)
        value = section[at + 3 : at + 3 + size]
        if tag == _AGE and len(value) >= 3:
            years = int.from_bytes(value[:2], "little") * _YEARS.get(value[2], 0.0)
            age = age_of(str(years)) if years else None
        if tag == _SEX and value:
            sex = {1: "M", 2: "F"}.get(value[0])
        at += 3 + size
    return age, sex


def _machine(sections: dict[int, bytes]) -> MachineReading | None:
    return machine_reading(_measured(sections.get(7, b"")), _statements(sections.get(8, b"")))


def _measured(section: bytes) -> dict[str, float]:
    """Measurements of the first reference beat: ms between the wave limits of section 7, the axis in
    degrees."""
    if len(section) < 22:
        return {}
    _, _, rr, _ = struct.unpack_from("<BBHH", section)
    p_on, _, qrs_on, qrs_off, t_off, _, axis, _ = struct.unpack_from("<5H3h", section, 6)
    spans = {"pr_ms": (p_on, qrs_on), "qrs_ms": (qrs_on, qrs_off), "qt_ms": (qrs_on, t_off)}
    measured = {
        key: float(end - start) for key, (start, end) in spans.items() if not {start, end} & set(_UNKNOWN)
    }
    if rr and rr not in _UNKNOWN:
        measured["heart_rate_bpm"] = 60_000 / rr
    if axis not in (999, *_UNKNOWN):
        measured["axis_deg"] = float(axis)
    return measured


def _statements(section: bytes) -> list[str]:
    lines, at = [], 9
    for _ in range(section[8] if len(section) > 8 else 0):
        if at + 3 > len(section):
            break
        (size,) = struct.unpack_from("<H", section, at + 1)
        lines.append(section[at + 3 : at + 3 + size].decode("latin-1").replace("\0", " "))
        at += 3 + size
    return lines
