"""Printed text: glyph masks in any available font, and the headers and footers that devices print.

Three kinds of fonts draw a page: OpenCV's own fonts (Hershey's strokes before version 5) and Pillow's
built-in Aileron, which are always there, and the free TrueType families of the system where it has them (they
vary training pages, nothing depends on them).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ecgvlm.record import Record

HERSHEY = {
    "hershey-simplex": cv2.FONT_HERSHEY_SIMPLEX,
    "hershey-duplex": cv2.FONT_HERSHEY_DUPLEX,
    "hershey-complex": cv2.FONT_HERSHEY_COMPLEX,
    "hershey-triplex": cv2.FONT_HERSHEY_TRIPLEX,
    "hershey-script": cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
}
BUILTIN = "aileron"
_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "/Library/Fonts", "C:/Windows/Fonts")
_FAMILIES = ("DejaVu", "Liberation", "Free")
# Further faces of Latin letters, which only what reads print learns from.
_MORE_FACES = ("NotoSans-", "NotoSansMono", "NotoSansDisplay", "NotoSerif-", "NotoSerifDisplay", "NotoMono")
# How printers spell leads' names.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "spaced": lambda name: re.sub(r"^V(?=\d)", "V ", name),  # "V 4"
    "colon": lambda name: f"{name}:",
    "capitals": str.upper,
    "lead": lambda name: f"Lead {name}",
}
_EM_OF_HERSHEY = 30.0  # px of one em at scale 1: capitals are 21 px high


@lru_cache(maxsize=1)
def system_fonts() -> dict[str, str]:
    """Name -> file of the upright text faces of the free families found on this system."""
    unfit = ("Oblique", "Italic", "ExtraLight")
    return {
        name: path
        for name, path in all_faces().items()
        if name.startswith(_FAMILIES) and not any(word in name for word in unfit)
    }


@lru_cache(maxsize=1)
def all_faces() -> dict[str, str]:
    """Name -> file of all text faces found on this system, light and slanted ones too."""
    found = {}
    for folder in _FOLDERS:
        for path in sorted(Path(folder).rglob("*.ttf")) if Path(folder).is_dir() else ():
            if path.stem.startswith(_FAMILIES + _MORE_FACES) and "Math" not in path.stem:
                found[path.stem] = str(path)
    return found


def available(*names: str) -> str:
    """The first of the names that can be drawn here, Pillow's built-in font where none can."""
    return next((name for name in names if name in HERSHEY or name in system_fonts()), BUILTIN)


@lru_cache(maxsize=256)
def _pillow_font(name: str, size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if name in all_faces():
        return ImageFont.truetype(all_faces()[name], size, layout_engine=ImageFont.Layout.BASIC)
    return ImageFont.load_default(size)


def covered(image: np.ndarray, mask: np.ndarray, x: int, y: int) -> tuple[np.ndarray, np.ndarray]:
    """What a mask [h, w] with its top left pixel at (x, y) covers of an image [H, W, ...], and the mask
    there; what lies outside is cut."""
    x0, y0 = max(0, x), max(0, y)
    x1 = max(x0, min(image.shape[1], x + mask.shape[1]))
    y1 = max(y0, min(image.shape[0], y + mask.shape[0]))
    return image[y0:y1, x0:x1], mask[y0 - y : y1 - y, x0 - x : x1 - x]


@lru_cache(maxsize=4096)
def text_mask(string: str, font: str, size: float) -> tuple[np.ndarray, int, int]:
    """Ink of one line of text. size: px of one em.

    Returns the mask ([h, w] uint8, cropped to the ink) and the place of its top left pixel relative to the
    origin of the first letter on the base line (x right, y down). Unknown font names draw in Pillow's
    built-in font.
    """
    if font in HERSHEY:
        scale = size / _EM_OF_HERSHEY
        thickness = max(1, round(2 * size / 16))
        (width, height), below = cv2.getTextSize(string, HERSHEY[font], 2 * scale, thickness)
        x0, y0 = 4, height + 4 + height % 2
        canvas = np.zeros((2 * ((y0 + below + 9) // 2), 2 * ((width + 17) // 2)), np.uint8)
        cv2.putText(canvas, string, (x0, y0), HERSHEY[font], 2 * scale, 255, thickness, cv2.LINE_AA)
        mask = cv2.resize(canvas, (canvas.shape[1] // 2, canvas.shape[0] // 2), interpolation=cv2.INTER_AREA)
        left, top = -x0 // 2, -y0 // 2
    else:
        face = _pillow_font(font, size)
        x0, y0, x1, y1 = (int(v) for v in face.getbbox(string, anchor="ls"))
        image = Image.new("L", (max(1, x1 - x0 + 4), max(1, y1 - y0 + 4)))
        ImageDraw.Draw(image).text((2 - x0, 2 - y0), string, fill=255, font=face, anchor="ls")
        mask, left, top = np.asarray(image), x0 - 2, y0 - 2
    x, y, w, h = cv2.boundingRect(mask)
    return mask[y : y + h, x : x + w], left + x, top + y


@dataclass(frozen=True)
class Text:
    """One line of text: base line at y, mm of the page; starts at x, or ends there with align="right"."""

    x: float
    y: float
    string: str
    size: float = 3.0
    align: str = "left"


@dataclass(frozen=True)
class Rule:
    """A straight printed line, mm of the page."""

    x0: float
    y0: float
    x1: float
    y1: float
    width: float = 0.3


@dataclass(frozen=True)
class Facts:
    """What a header may say: the page, the record and a made-up patient."""

    width: float
    height: float
    speed: str
    gain: str
    rate: str
    age: str
    sex: str
    name: str
    number: str
    date: str
    time: str
    band: str
    mains: str
    layout: str


_FAMILY_NAMES = ("SMITH", "JONES", "GARCIA", "MUELLER", "ROSSI", "SILVA", "NOWAK", "KHAN", "CHEN", "TANAKA")
_GIVEN_NAMES = ("A.", "B.", "MARIA", "JOHN", "ANNA", "PETER", "LI", "OLGA", "JOSE", "EVA", "HANS", "YUKI")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def facts(record: Record, width: float, height: float, speed: float, gain: float, layout: str, rng) -> Facts:
    """Texts for a header of this record; the patient's name and number are invented.

    A heart rate is printed only if record.meta carries "heart_rate_bpm": a page must not state a wrong one.
    """
    year, month, day = rng.integers(1995, 2026), rng.integers(1, 13), rng.integers(1, 29)
    date = (
        f"{year}-{month:02d}-{day:02d}",
        f"{day:02d}-{_MONTHS[month - 1]}-{year}",
        f"{day:02d}.{month:02d}.{year}",
        f"{month:02d}/{day:02d}/{year}",
    )[rng.integers(4)]
    rate = record.meta.get("heart_rate_bpm")
    return Facts(
        width=width,
        height=height,
        speed=f"{speed:g}",
        gain=f"{gain:g}",
        rate="---" if rate is None else f"{rate:.0f}",
        age="" if record.age is None else f"{record.age:.0f}",
        sex={"F": "Female", "M": "Male"}.get(record.sex or "", ""),
        name=f"{rng.choice(_FAMILY_NAMES)}, {rng.choice(_GIVEN_NAMES)}",
        number=str(rng.integers(10_000, 99_999_999)),
        date=date,
        time=f"{rng.integers(24):02d}:{rng.integers(60):02d}:{rng.integers(60):02d}",
        band=str(rng.choice(["0.05~150Hz", "0.67~25Hz", "0.05-40 Hz", "0.5-40 Hz", "0.15-100 Hz"])),
        mains=str(rng.choice(["AC50", "AC60", "F50", "F 60~", "50 Hz"])),
        layout=layout,
    )


def _edan(f: Facts) -> list[Text | Rule]:
    row = f"ID : {f.number}"
    return [
        Text(f.width * 0.45, 7.0, "ECG REPORT", 6.0),
        *(
            Text(8.8 + x, 12.0, s, 3.7)
            for x, s in (
                (0, row), (32, f"{f.age} Years"), (48, f.sex), (70, "cm"), (88, "kg"), (107, "/"),
                (113, "mmHg"), (131, "Race:Unknown"), (160, "Room No.:"), (185, "Department:"),
            )
        ),
        Text(8.8, 16.2, "Exam.Room:", 3.7),
        Text(35.3, 16.2, "Medication:", 3.7),
        Rule(8.8, 17.6, f.width - 7, 17.6, 0.5),
        Rule(8.8, 18.4, f.width - 7, 18.4, 0.5),
        Text(8.8, 21.9, "Diagnosis Information:", 3.7),
        Text(f.width * 0.7, 26.2, "Technician :", 3.7),
        Text(f.width * 0.7, 30.4, "Ref-Phys. :", 3.7),
        Text(f.width * 0.7, 34.6, "Report Confirmed by:", 3.7),
        Text(
            8.8, f.height - 2.8,
            f"{f.band}  {f.mains} {f.speed}mm/s {f.gain}mm/mV {f.layout} HR {f.rate}  SE-3 V1.0 SEMIP", 3.0,
        ),
        Text(f.width - 20, f.height - 2.8, f"{f.date}   {f.time}", 3.0, "right"),
    ]  # fmt: skip


def _ge(f: Facts) -> list[Text | Rule]:
    left = (f.name, f"ID:{f.number}", f"{f.age} yr  {f.sex}", "Room:", "Loc:1 Option:0")
    middle = (
        ("Vent. rate", f"{f.rate} BPM"), ("PR interval", "--- ms"), ("QRS duration", "--- ms"),
        ("QT/QTc", "---/--- ms"), ("P-R-T axes", "---  ---  ---"),
    )  # fmt: skip
    return [
        *(Text(8, 6 + 4.2 * i, s, 3.3) for i, s in enumerate(left)),
        Text(60, 6, f"{f.date}  {f.time}", 3.3),
        Text(110, 6, "GENERAL HOSPITAL ROUTINE RECORD", 3.3),
        *(Text(60, 11 + 4.2 * i, a, 3.3) for i, (a, _) in enumerate(middle)),
        *(Text(102, 11 + 4.2 * i, b, 3.3, "right") for i, (_, b) in enumerate(middle)),
        Text(8, 31, "Technician:", 3.3),
        Text(8, 35, "Test ind:", 3.3),
        Text(120, 35, "Referred by:", 3.3),
        Text(f.width - 60, 35, "Unconfirmed", 3.3),
        Text(8, f.height - 3, f"{f.speed}mm/s   {f.gain}mm/mV   {f.band}   8.0.1   12SL 239   CID: 1", 2.9),
        Text(f.width - 10, f.height - 3, "EID:    EDT:    ORDER:    ACCOUNT:", 2.9, "right"),
    ]


def _philips(f: Facts) -> list[Text | Rule]:
    return [
        Text(8, 7, f.number, 4.0),
        Text(8, 12, f.name, 3.6),
        Text(8, 17, f"{f.age} Years   {f.sex}", 3.2),
        Text(75, 7, f"{f.date} {f.time}", 3.2),
        *(Text(75, 12 + 4 * i, s, 3.0) for i, s in enumerate(("Rate", "PR", "QRSD", "QT", "QTc"))),
        Text(96, 12, f.rate, 3.0),
        Text(120, 7, "CITY MEDICAL CENTER", 3.4),
        Text(120, 34, "Standard Placement   - Unconfirmed -", 3.0),
        Rule(72, 3, 72, 32, 0.2),
        Rule(117, 3, 117, 32, 0.2),
        Text(8, f.height - 3, "Device: PW70", 2.8),
        Text(70, f.height - 3, f"Speed: {f.speed} mm/sec  Limb: {f.gain} mm/mV  Chest: {f.gain} mm/mV", 2.8),
        Text(f.width - 10, f.height - 3, f"{f.mains} {f.band}   PH100B CL   P?", 2.8, "right"),
    ]


def _schiller(f: Facts) -> list[Text | Rule]:
    return [
        Text(8, 6, f"{f.name}   {f.number}", 3.2),
        Text(8, 10.5, f"{f.age} Y / {f.sex}", 3.0),
        Text(100, 6, f"{f.date} {f.time}", 3.0),
        *(Text(160 + 22 * (i % 4), 6 + 4 * (i // 4), s, 2.8) for i, s in enumerate(
            (f"HR {f.rate}/min", "P", "PR", "QRS", "Axis", "QT", "QTcB", "RR"))),
        Rule(6, 16, f.width - 6, 16, 0.25),
        Text(8, f.height - 3, f"{f.speed} mm/s  {f.gain} mm/mV   {f.mains}  SSF SBS  {f.band}", 2.8),
        Text(f.width - 10, f.height - 3, "AT-102 PLUS 1.20   Art. no. 2.157 014", 2.6, "right"),
    ]  # fmt: skip


def _mortara(f: Facts) -> list[Text | Rule]:
    return [
        Text(8, 6.5, f"{f.name}", 4.2),
        Text(8, 11.5, f"ID: {f.number}", 3.2),
        Text(8, 16, f"Age: {f.age}   Sex: {f.sex}", 3.2),
        Text(8, 20.5, "Medications:", 3.0),
        Text(100, 6.5, f"{f.date} {f.time}", 3.2),
        Text(100, 11.5, f"Vent Rate: {f.rate} bpm", 3.0),
        Text(100, 16, "PR Int:", 3.0),
        Text(100, 20.5, "QRS Dur:", 3.0),
        Text(150, 6.5, "Unconfirmed report", 3.4),
        Text(8, f.height - 3, "ELI 250c  Ver 2.1.2", 2.7),
        Text(f.width / 2, f.height - 3, f"{f.speed} mm/s  {f.gain} mm/mV  {f.band}", 2.7),
    ]


def _report(f: Facts) -> list[Text | Rule]:
    return [
        Text(8, 8, f"Name: {f.name}", 3.4),
        Text(80, 8, f"ID: {f.number}", 3.4),
        Text(130, 8, f"Date: {f.date}, Time: {f.time}", 3.4),
        Text(8, 13, f"Age: {f.age}", 3.4),
        Text(80, 13, f"Sex: {f.sex}", 3.4),
        Text(12, f.height - 4, f"{f.speed}mm/s", 3.4),
        Text(38, f.height - 4, f"{f.gain}mm/mV", 3.4),
    ]


def _scale(f: Facts) -> list[Text | Rule]:
    return [Text(10, f.height - 3, f"{f.speed} mm/s", 3.2), Text(36, f.height - 3, f"{f.gain} mm/mV", 3.2)]


def _title(f: Facts) -> list[Text | Rule]:
    return [Text(f.width / 2 - 15, 7, "12-lead ECG", 5.0), *_scale(f)]


def _none(f: Facts) -> list[Text | Rule]:
    return []


HEADERS: dict[str, Callable[[Facts], list[Text | Rule]]] = {
    "edan": _edan,
    "ge": _ge,
    "philips": _philips,
    "schiller": _schiller,
    "mortara": _mortara,
    "report": _report,
    "scale": _scale,
    "title": _title,
    "none": _none,
}
