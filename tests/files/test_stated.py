"""What devices of several makers print of an ECG is understood, and nothing is read out of other words."""

import pytest

from ecgvlm.files.stated import stated_in
from ecgvlm.record import MachineReading

SAID = {
    "heart_rate_bpm": 72.0, "pr_ms": 160.0, "qrs_ms": 90.0,
    "qt_ms": 380.0, "qtc_ms": 416.0, "axis_deg": -48.0,
}  # fmt: skip
PRINTED = {
    """61 yr  Vent. rate 72 BPM
       Male  PR interval 160 ms
       QRS duration 90 ms
       QT/QTc 380/416 ms
       P-R-T axes 53 -48 40""": (61, "M"),
    """Age: 54 Sex: F
       Ventricular rate: 72 bpm  PR int: 160 ms  QRS dur: 90 ms QT/QTc: 380/416 ms  P-R-T: 50 -48 20""": (
        54,
        "F",
    ),
    """45 Years  Female
       Rate  72
       PR  160
       QRSD  90
       QT  380
       QTc  416
       QRS axis -48""": (45, "F"),
    """20J.  weiblich
       Herzfrequenz  72/min
       PQ Intervall  160ms
       QRS Dauer  90ms
       QT/QTc  380/416ms
       P-QRS-T Winkel  68/-48/60°""": (20, "F"),
    """Alter 020Y  HF  72 /min  PQ  160 ms
       Geschlecht Männlich QRS‑Achse −48 °  QRS  90 ms
       QT  380 ms  QTcB  416 ms""": (20, "M"),
    """Edad: 45 Sexo: Hombre
       FC 72 lpm PR 160 ms QRS 90 ms QT 380 ms QTc 416 ms
       P/QRS/T : 62/-48/33 °""": (45, "M"),
}


@pytest.mark.parametrize("text", PRINTED)
def test_what_is_printed(text):
    assert stated_in(text.split("\n")) == MachineReading(SAID, (), *PRINTED[text])


@pytest.mark.parametrize(
    "text",
    [
        "Dear colleague",
        "Sampling rate 500 Hz, 25 mm/s, 10 mm/mV",
        "QRS 48 °",
        "born 01.01.1960",
        "PR 0 ms  HR 999 bpm",
    ],
)
def test_nothing_is_made_up(text):
    assert stated_in([text]) is None
