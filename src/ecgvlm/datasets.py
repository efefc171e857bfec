"""Published collections of labelled ECGs as lists of `Record`."""

from __future__ import annotations

import ast
import csv
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from ecgvlm.record import Record, read_wfdb, unreadable

# Statements that name the rhythm itself. BIGU, TRIGU and SVARR leave it open what the basic rhythm is.
_BASIC_RHYTHMS = frozenset({"SR", "SBRAD", "STACH", "SARRH", "AFIB", "AFLT", "PACE", "SVTAC", "PSVT"})
_FROM_RHYTHM = {
    "SR": "SR", "SBRAD": "SB", "STACH": "ST", "SARRH": "SARRH", "AFIB": "AF", "AFLT": "AFLT", "PACE": "PACE",
}  # fmt: skip
_FROM_FORM = {"PAC": "PAC", "PVC": "PVC", "LVOLT": "LVOLT", "LPR": "1dAVb"}
_FROM_SUB_CLASS = {
    "CRBBB": "RBBB", "CLBBB": "LBBB", "IRBBB": "IRBBB", "LVH": "LVH",
    "AMI": "AMI", "IMI": "IMI", "LMI": "LMI",
}  # fmt: skip
_FROM_SUPER_CLASS = {"MI": "MI", "STTC": "STTC", "CD": "CD", "HYP": "HYP"}
# Lateral infarctions (and injuries) that PTB-XL's sub_class files under the anterior or the inferior ones.
_LATERAL_STATEMENTS = frozenset({"ALMI", "ILMI", "IPLMI", "INJAL", "INJIL", "INJLA"})
_LEVELS = ("rhythm", "form", "sub_class", "super_class")


def ptbxl_labels(
    levels: Mapping[str, Collection[str]], scp_codes: Collection[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """Labels of one PTB-XL record, and the labels that its annotation leaves open.

    levels: SCP statements at "rhythm", "form", "sub_class" and "super_class". scp_codes: all of them, empty
    where not published. Returns (codes that hold, codes that may hold or not); a code in neither is absent. A
    label is open where its whole level is empty, where only scp_codes would tell the degree of an AV block or
    the wall of an infarction, and where premature complexes are stated without their kind.
    """
    rhythm, form, sub, sup = (frozenset(levels[level]) for level in _LEVELS)
    scp = frozenset(scp_codes)
    found = {
        label
        for statements, table in (
            (rhythm, _FROM_RHYTHM), (form, _FROM_FORM), (sub, _FROM_SUB_CLASS), (sup, _FROM_SUPER_CLASS),
        )
        for statement, label in table.items()
        if statement in statements
    }  # fmt: skip
    if sup == {"NORM"}:
        found.add("NORM")
    if rhythm & {"BIGU", "TRIGU"} and "PAC" not in form:
        found.add("PVC")
    if scp & {"2AVB", "3AVB"}:
        found.add("HAVB")
    if ("AVB" in sub and "HAVB" not in found) or "1AVB" in scp:
        found.add("1dAVb")
    # The left posterior block shares the sub_class, but is a tenth of it only.
    if "LAFB" in scp or (not scp and "LAFB/LPFB" in sub):
        found.add("LAFB")
    if scp & _LATERAL_STATEMENTS:
        found.add("LMI")

    open_labels: set[str] = set()
    if not rhythm & _BASIC_RHYTHMS:
        open_labels |= set(_FROM_RHYTHM.values())
    if not sub:
        open_labels |= {*_FROM_SUB_CLASS.values(), "LAFB", "1dAVb", "HAVB"}
    if not sup:
        open_labels |= set(_FROM_SUPER_CLASS.values())
    if not scp and "AVB" in sub:
        open_labels.add("HAVB")
    if not scp and sub & {"AMI", "IMI"}:
        open_labels.add("LMI")
    if "PRC(S)" in form and not form & {"PAC", "PVC"}:
        open_labels |= {"PAC", "PVC"}
    return frozenset(found), frozenset(open_labels - found)


def load_ptbxl(root: str | Path, folds: Collection[int] | None = None, fs: int = 100) -> list[Record]:
    """PTB-XL (Wagner et al. 2020), the published folder or the project's part of it (`labels.csv`).

    folds: the strat_folds wanted, None for all. fs: 100 or 500 Hz; the project's part holds only some records
    at 500 Hz, and those are returned. Record.meta: ecg_id and strat_fold (int), the strings rhythm, form,
    sub_class and super_class (";" between statements), scp_codes (likelihoods in percent, empty where not
    published) and unknown (codes that the annotation leaves open, see `ptbxl_labels`). Raises EcgError naming
    the file that is missing or damaged.
    """
    root = Path(root)
    if fs not in (100, 500):
        raise ValueError(f"PTB-XL is published at 100 and 500 Hz, not {fs}")
    part = (root / "labels.csv").is_file()
    table = root / ("labels.csv" if part else "ptbxl_database.csv")
    statements = {} if part else _read_statements(root / "scp_statements.csv")
    records = []
    for line, row in enumerate(_read_rows(table), start=2):
        try:
            ecg_id, fold = int(row["ecg_id"]), int(row["strat_fold"])
            if folds is not None and fold not in folds:
                continue
            scp = {_plain(code): float(p) for code, p in ast.literal_eval(row["scp_codes"] or "{}").items()}
            if part:
                levels = {level: row[level].split(";") if row[level] else [] for level in _LEVELS}
                path = root / f"records{fs}" / f"{ecg_id:05d}_{'lr' if fs == 100 else 'hr'}"
            else:
                levels = _levels(scp, statements)
                path = root / row["filename_lr" if fs == 100 else "filename_hr"]
            age = float(row["age"]) if row["age"] else None
            patient, sex = str(int(float(row["patient_id"]))), {"0": "M", "1": "F"}.get(row["sex"])
            report = row["report"] or None
        except (KeyError, ValueError, TypeError, SyntaxError, AttributeError) as error:
            raise unreadable(table, f"line {line} is damaged ({error})") from error
        if part and fs == 500 and not path.with_suffix(".hea").is_file():
            continue
        found, unknown = ptbxl_labels(levels, scp)
        meta = {
            "ecg_id": ecg_id,
            "strat_fold": fold,
            **{level: ";".join(codes) for level, codes in levels.items()},
            "scp_codes": scp,
            "unknown": unknown,
        }
        record = read_wfdb(path)
        records.append(
            replace(record, age=age, sex=sex, labels=found, report=report, patient=patient, meta=meta)
        )
    return records


def _plain(code: str) -> str:
    """The statement without the underscores that PTB-XL pads some codes with (`STD_`, `_AVB`)."""
    return code.strip("_")


def _levels(scp: Collection[str], statements: Mapping[str, Mapping[str, str]]) -> dict[str, list[str]]:
    """Statements at the four levels, as the PTB-XL benchmark (Strodthoff et al. 2021) aggregates them."""
    levels: dict[str, list[str]] = {level: [] for level in _LEVELS}
    columns = {"sub_class": "diagnostic_subclass", "super_class": "diagnostic_class"}
    for code in scp:
        if code not in statements:
            raise ValueError(f"unknown SCP statement {code}")
        for level in _LEVELS:
            row = statements[code]
            name = _plain(row[columns[level]]) if level in columns else code if row[level] else ""
            if name and name not in levels[level]:
                levels[level].append(name)
    return levels


def _read_statements(path: Path) -> dict[str, dict[str, str]]:
    rows = _read_rows(path)
    needed = {"", "rhythm", "form", "diagnostic_class", "diagnostic_subclass"}
    if not rows or not needed <= rows[0].keys():
        raise unreadable(path, "not PTB-XL's table of SCP statements")
    return {_plain(row[""]): row for row in rows}


def _read_rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise unreadable(path, f"not a CSV table ({error})") from error
