"""The one vocabulary of findings that records, model, answers and benchmark share."""

from __future__ import annotations

# code -> name in words. NORM: nothing abnormal. SR and SB and ST: the sinus rhythms. The first seven are
# CODE-15%'s.
NAMES: dict[str, str] = {
    "NORM": "normal ECG",
    "1dAVb": "first-degree AV block",
    "RBBB": "right bundle branch block",
    "LBBB": "left bundle branch block",
    "SB": "sinus bradycardia",
    "ST": "sinus tachycardia",
    "AF": "atrial fibrillation",
    "SR": "sinus rhythm",
    "SARRH": "sinus arrhythmia",
    "AFLT": "atrial flutter",
    "PACE": "paced rhythm",
    "PAC": "premature atrial complexes",
    "PVC": "premature ventricular complexes",
    "HAVB": "second- or third-degree AV block",
    "IRBBB": "incomplete right bundle branch block",
    "LAFB": "left anterior fascicular block",
    "LVH": "left ventricular hypertrophy",
    "AMI": "anterior myocardial infarction",
    "IMI": "inferior myocardial infarction",
    "LMI": "lateral myocardial infarction",
    "STTC": "ST-T changes",
    "LVOLT": "low voltage",
    "MI": "myocardial infarction",
    "CD": "conduction disturbance",
    "HYP": "hypertrophy",
}
LABELS = tuple(NAMES)
CODE15 = ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")
SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
