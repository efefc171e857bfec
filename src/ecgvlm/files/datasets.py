"""Published collections of labelled ECGs: PTB-XL, CODE-15%, CinC 2021, MIMIC-IV-ECG, records of one's own.

`find_records` lists what a folder holds without reading a signal; `load_records` reads them one by one.
"""

from __future__ import annotations

import ast
import csv
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from ecgvlm.errors import EcgError, Unloadable, UsageError, unreadable
from ecgvlm.files.code15 import read_code15
from ecgvlm.files.image import read_record
from ecgvlm.files.leads import age_of, sex_of
from ecgvlm.files.wfdb import read_wfdb
from ecgvlm.labels import LABELS, RHYTHMS, SUPERCLASSES
from ecgvlm.record import Record
from ecgvlm.vocabulary import (
    labels_of,
    left_open,
    read_label,
    read_statement,
    terms,
)

_LEVELS = ("rhythm", "form", "sub_class", "super_class")
# CinC 2021 names its records after the collection that they come from; Ningbo's follow Chapman-Shaoxing's.
_CINC = {
    "A": "CPSC", "Q": "CPSC-Extra", "I": "St Petersburg", "S": "PTB", "HR": "PTB-XL", "E": "Georgia",
    "JS": "Chapman-Shaoxing",
}  # fmt: skip
_FIRST_NINGBO = 10647
_SINUS_RHYTHM = "426783006"
# Columns that tell the patient, however they are spelt (patient_id, PatientID, "Subject no."), and
# folders that do: MIMIC's p10000032, the PTB database's patient001, ECG-ID's Person_01, BIDS' sub-01.
_PATIENT_COLUMN = re.compile(r"patient|(?:patient|subject|participant|person)(?:id|no|nr|number)")
_PATIENT_FOLDER = re.compile(
    r"(?:^|/)((?:p|pt|pat|patient|sub|subject|participant|person)[-_ ]?\d+)(?=/)", re.IGNORECASE
)
_PTBXL_RECORD = re.compile(r"(\d{5})_[lh]r\b")  # one record, however often and wherever it was printed


@dataclass(frozen=True)
class Entry:
    """One record of a collection, not read yet. load raises EcgError where its file is missing or damaged.

    patient: who it is of; the record alone, by its key, where the collection does not say.
    """

    key: str
    load: Callable[[], Record]
    patient: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "patient", self.patient or self.key)


def patient_of(cells: Mapping[str, Any]) -> str:
    """Who a line of a table (or a row of data) is about, by the columns that tell it; "" where none does."""
    return next(filter(None, (_name_of(cells[column]) for column in cells if _tells_patient(column))), "")


@lru_cache(maxsize=4096)
def _tells_patient(column: object) -> bool:
    return _PATIENT_COLUMN.fullmatch(re.sub(r"[\W_]", "", str(column).lower())) is not None


def _name_of(cell: Any) -> str:
    """A patient's name as a cell has it. Where some are missing, pandas writes numbers as 17.0 and the others
    as nan."""
    text = str("" if cell is None else cell).strip()
    return "" if text.lower() in ("nan", "none", "null") else re.sub(r"^(\d+)\.0$", r"\1", text)


def patient_in(path: Path) -> str:
    """Who a file is about: the innermost folder called like a patient, else PTB-XL's number of a record; ""
    where neither is in its name."""
    if folders := _PATIENT_FOLDER.findall(path.as_posix()):
        return folders[-1]
    record = _PTBXL_RECORD.match(path.name)
    return record[1] if record else ""


def patient_of_line(cells: Mapping[str, Any]) -> str:
    """Who a line is about, by its columns, else by where its `file` lies; "" where neither tells."""
    return patient_of(cells) or patient_in(Path(cells["file"]))


def find_records(root: str | Path, folds: Collection[int] | None = None, fs: int = 100) -> list[Entry]:
    """The records of a collection, told by its files.

    - `labels.csv` with strat_fold, or `ptbxl_database.csv`: PTB-XL (see `load_ptbxl`)
    - `exams.csv`: CODE-15%, its HDF5 parts anywhere below
    - `record_list.csv`: MIMIC-IV-ECG, labelled by `machine_measurements.csv`
    - a CSV file with the columns file and labels: records of one's own (see `read_own`)
    - WFDB headers anywhere below: CinC 2020/2021, labelled by their `Dx` comments, and any other; folders
      called p10000032 or patient001 tell their patient

    folds: strat_folds wanted of PTB-XL, None for all; UsageError for any other collection, which has none.
    fs: its sampling rate, 100 or 500 Hz. Raises EcgError where the folder is none of these.
    """
    root = Path(root)
    ptbxl = (root / "labels.csv").is_file() or (root / "ptbxl_database.csv").is_file()
    if folds is not None and not ptbxl:
        raise UsageError(f"{root}: only PTB-XL has folds; split other records with ecgvlm instruct split")
    if root.suffix.lower() == ".csv" and root.is_file():
        return read_own(root)
    if ptbxl:
        return _ptbxl(root, folds, fs)
    if (root / "exams.csv").is_file():
        return _code15(root)
    if (root / "record_list.csv").is_file():
        return _mimic(root)
    if headers := sorted(root.rglob("*.hea")):
        people = (patient_in(header.relative_to(root)) for header in headers)
        return [
            Entry(key, partial(_read_cinc, header, patient), patient)
            for key, header, patient in zip(_names(headers, root), headers, people)
        ]
    raise EcgError(
        "unsupported_format",
        f"{root}: neither PTB-XL, CODE-15%, MIMIC-IV-ECG, WFDB records (.hea) nor a CSV table of records",
    )


def _names(paths: Sequence[Path], root: Path) -> list[str]:
    """What files are called: without folders where that tells them apart."""
    if len({path.stem for path in paths}) == len(paths):
        return [path.stem for path in paths]
    return [path.relative_to(root).with_suffix("").as_posix() for path in paths]


def load_records(entries: Iterable[Entry], skipped: list[str] | None = None) -> Iterator[tuple[str, Record]]:
    """(key, record) of each entry. skipped: takes the messages of missing and damaged files, which are then
    left out; without it the first one is raised."""
    for entry in entries:
        try:
            record = entry.load()
        except EcgError as error:
            if skipped is None:
                raise
            skipped.append(error.message)
            continue
        yield entry.key, record


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
    statements = terms("SCP-ECG")
    stated = [statements[code] for code in (rhythm | form | frozenset(scp_codes)) if code in statements]
    found = set(labels_of(stated))
    sub_classes = terms("PTB-XL sub_class")
    if not scp_codes:
        found |= labels_of(sub_classes[code] for code in sub if code in sub_classes)
    super_classes = terms("PTB-XL super_class")
    found |= labels_of(super_classes[code] for code in sup if code in super_classes)
    if sup != {"NORM"}:
        found.discard("NORM")
    if rhythm & {"BIGU", "TRIGU"} and "PAC" in form and "PVC" not in form:
        found.discard("PVC")

    unknown: set[str] = set()
    if not any(statements[code].basic_rhythm for code in rhythm if code in statements):
        unknown |= set(RHYTHMS) & set(LABELS)
    if not sub:
        unknown |= {*labels_of(sub_classes.values()), "HAVB"}
    if not sup:
        unknown |= set(SUPERCLASSES) - {"NORM"}
    if not scp_codes:
        unknown |= frozenset().union(*(sub_classes[code].open for code in sub if code in sub_classes))
    if not form & {"PAC", "PVC"}:
        unknown |= frozenset().union(*(term.open for term in stated))
    return frozenset(found), frozenset(unknown - found)


def load_ptbxl(root: str | Path, folds: Collection[int] | None = None, fs: int = 100) -> list[Record]:
    """PTB-XL (Wagner et al. 2020), the published folder or the project's part of it (`labels.csv`).

    folds: the strat_folds wanted, None for all. fs: 100 or 500 Hz; the project's part holds only some records
    at 500 Hz, and those are returned. Record.meta: ecg_id and strat_fold (int), the strings rhythm, form,
    sub_class and super_class (";" between statements), scp_codes (likelihoods in percent, empty where not
    published) and unknown (codes that the annotation leaves open, see `ptbxl_labels`). Raises EcgError naming
    the file that is missing or damaged.
    """
    return [record for _, record in load_records(_ptbxl(Path(root), folds, fs))]


def _ptbxl(root: Path, folds: Collection[int] | None, fs: int) -> list[Entry]:
    if fs not in (100, 500):
        raise ValueError(f"PTB-XL is published at 100 and 500 Hz, not {fs}")
    part = (root / "labels.csv").is_file()
    table = root / ("labels.csv" if part else "ptbxl_database.csv")
    statements = {} if part else _read_statements(root / "scp_statements.csv")
    entries, of_folds = [], False
    for line, row in enumerate(read_table(table), start=2):
        try:
            ecg_id, fold = int(row["ecg_id"]), int(row["strat_fold"])
            if folds is not None and fold not in folds:
                continue
            of_folds = True
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
            damage = unreadable(table, f"line {line} is damaged ({error})")
            entries.append(Entry(f"line {line}", Unloadable.of(damage)))
            continue
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
        known = {
            "age": age, "sex": sex, "labels": found, "report": report, "patient": patient, "meta": meta,
        }  # fmt: skip
        entries.append(Entry(str(ecg_id), partial(_read_known, path, known), patient))
    if folds is not None and not of_folds:  # there may be none at 500 Hz
        raise UsageError(f"{root}: no record is of fold {', '.join(map(str, sorted(folds)))}")
    return entries


def _read_known(path: Path, known: dict) -> Record:
    return replace(read_wfdb(path), **known)


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
    rows = read_table(path)
    needed = {"", "rhythm", "form", "diagnostic_class", "diagnostic_subclass"}
    if not rows or not needed <= rows[0].keys():
        raise unreadable(path, "not PTB-XL's table of SCP statements")
    return {_plain(row[""]): row for row in rows}


def read_table(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV file with a header, an empty text where a line is short. Raises EcgError.

    Cells are separated by what the header has most of: commas, the semicolons of spreadsheets where a comma
    is the decimal sign, or tabs.
    """
    return list(read_lines(path))


def read_lines(path: Path) -> Iterator[dict[str, str]]:
    """The same, one by one."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = file.readline()
            file.seek(0)
            yield from csv.DictReader(file, restval="", delimiter=max(",;\t", key=header.count))
    except OSError as error:
        raise unreadable(path, error) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise unreadable(path, f"not a CSV table ({error})") from error


def _code15(root: Path) -> list[Entry]:
    """CODE-15%: the rows of its HDF5 parts that exams.csv knows, and an entry for each part missing."""
    import h5py

    table = root / "exams.csv"
    exams = {row.get("exam_id", ""): row for row in read_table(table)}
    wanted = {row["trace_file"] for row in exams.values() if row.get("trace_file")}
    parts = {path.name: path for path in sorted(root.rglob("*.hdf5"))}
    entries = []
    for name in sorted(wanted | parts.keys()):
        path = parts.get(name, root / name)
        try:
            with h5py.File(path, "r") as file:
                numbers = [str(int(i)) for i in file["exam_id"][:]]
        except (OSError, KeyError, TypeError, ValueError) as error:
            cause = "no such file" if not path.is_file() else f"not a readable CODE-15% file ({error})"
            damage = unreadable(path, cause)
            entries.append(Entry(name, Unloadable.of(damage)))
            continue
        # The published parts end in one row of zeros with exam 0, which the table does not know.
        entries += [
            Entry(number, partial(read_code15, path, i, exams[number]), patient_of(exams[number]))
            for i, number in enumerate(numbers)
            if number in exams
        ]
    return entries


def _read_cinc(header: Path, patient: str) -> Record:
    """A WFDB record of CinC 2020/2021.

    Record.meta: database, codes (SNOMED CT, as the header has them), signs (STE, STD, TINV, QWAVE where
    stated) and unknown.
    """
    record = replace(read_wfdb(header.with_suffix("")), patient=patient)
    codes = _dx(header)
    if codes is None:
        return record
    stated = [terms("SNOMED CT")[code] for code in codes if code in terms("SNOMED CT")]
    found = labels_of(stated)
    if set(codes) == {_SINUS_RHYTHM}:  # alone, the challenge's normal class
        found |= {"NORM"}
    database = _database(header.stem)
    annotated = labels_of(t for t in terms("SNOMED CT").values() if database in t.databases)
    unknown = left_open(found, stated, annotated - set(SUPERCLASSES) | {"NORM"})
    if len(stated) < len(codes):
        unknown |= {"NORM"} - found
    meta = {
        "database": database,
        "codes": codes,
        "signs": frozenset().union(*(term.signs for term in stated)),
        "unknown": unknown,
    }
    return replace(record, labels=found, meta=meta)


def _dx(header: Path) -> list[str] | None:
    """The codes of a header's `# Dx:` (or `#Dx:`, `# <Dx>:`) comment, None where there is none."""
    for line in header.read_text("utf-8", errors="replace").splitlines():
        if match := re.match(r"#\s*<?Dx>?\s*:(.*)", line, re.IGNORECASE):
            return [code for code in re.split(r"[,;\s]+", match[1]) if code and code.lower() != "unknown"]
    return None


def _database(name: str) -> str:
    """The collection that a CinC 2021 record comes from, "" where its name does not tell."""
    match = re.fullmatch(r"([A-Z]{1,2})(\d+)", name)
    database = _CINC.get(match[1], "") if match else ""
    if match and database == "Chapman-Shaoxing" and int(match[2]) >= _FIRST_NINGBO:
        return "Ningbo"
    return database


def _mimic(root: Path) -> list[Entry]:
    """MIMIC-IV-ECG: the statements that the electrocardiograph printed, as report and as labels."""
    said = {}
    for row in read_lines(root / "machine_measurements.csv"):  # 800,000 lines, of few different statements
        texts = [row.get(f"report_{i}", "").strip() for i in range(18)]
        said[row.get("study_id", "")] = [sys.intern(text) for text in texts if text]
    entries = []
    table = root / "record_list.csv"
    for line, row in enumerate(read_table(table), start=2):
        if not row.get("path") or not row.get("study_id"):
            damage = unreadable(table, f"line {line} names no path and study_id")
            entries.append(Entry(f"line {line}", Unloadable.of(damage)))
            continue
        study, patient = row["study_id"], patient_of(row)
        read = partial(_read_mimic, root / row["path"], study, patient, said.get(study, []))
        entries.append(Entry(study, read, patient))
    return entries


def _read_mimic(path: Path, study: str, patient: str, statements: list[str]) -> Record:
    record = replace(read_wfdb(path), patient=patient, meta={"study_id": study})
    if not statements:
        return record
    found, unknown = statement_labels(statements)
    return replace(
        record,
        labels=found,
        report=". ".join(text.strip(" .*-") for text in statements) + ".",
        meta={"study_id": study, "unknown": unknown},
    )


def statement_labels(statements: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Labels that an electrocardiograph's printed statements hold, and those that they leave open.

    What is said to be possible or borderline is open; NORM is open unless the overall statement (normal or
    abnormal ECG) settles it.
    """
    statements = list(statements)
    asserted, doubted = [], []
    for text in statements:
        sure, unsure = read_statement(text)
        asserted += sure
        doubted += unsure
    found = labels_of(asserted)
    unknown = left_open(found, asserted) | (labels_of(doubted) - found)
    abnormal = any("abnormal ecg" in text.lower() for text in statements)
    unknown = unknown - {"NORM"} if abnormal or "NORM" in found else unknown | {"NORM"}
    return found - ({"NORM"} if abnormal else set()), unknown


def read_own(table: Path) -> list[Entry]:
    """Records of one's own: a CSV file with the columns file and labels, and unknown, age, sex, patient (see
    `patient_of_line`) and report where they are known.

    file is relative to the table, in any form that `read_record` reads. labels and unknown hold codes or
    names, ";" between them (see `read_labels`); a label in neither is absent, and a record whose labels are
    empty has none that are known. Raises EcgError.
    """
    entries = []
    rows = read_table(table)
    if rows and not {"file", "labels"} <= rows[0].keys():
        raise unreadable(table, "a table of records needs the columns file and labels")
    for line, row in enumerate(rows, start=2):
        found, unknown = read_labels(row, f"{table}: line {line}")
        patient = patient_of_line(row)
        known = {
            "labels": found if row["labels"].strip() else None,
            "age": age_of(row.get("age", "")),
            "sex": sex_of(row.get("sex", "")),
            "patient": patient,
            "report": row.get("report") or None,
        }
        read = partial(_read_own, table.parent / row["file"], known, unknown)
        entries.append(Entry(row["file"], read, patient))
    return entries


def _read_own(path: Path, known: dict, unknown: frozenset[str]) -> Record:
    record = read_record(path)
    return replace(record, **known, meta=record.meta | {"unknown": unknown})


def read_labels(row: Mapping[str, str], where: str) -> tuple[frozenset[str], frozenset[str]]:
    """The cells labels and unknown of a user's table. Raises EcgError naming the word that means nothing."""
    try:
        found, unknown = (_listed(row.get(cell, "")) for cell in ("labels", "unknown"))
    except ValueError as error:
        raise EcgError("unsupported_format", f"{where}: {error}") from None
    return found, unknown - found


def _listed(cell: str) -> frozenset[str]:
    """The findings named in a cell, ";" between them; between codes also "," or "|"."""
    words: list[str] = []
    for word in cell.split(";"):
        parts = re.split("[,|]", word)
        words += parts if any(part.strip() in LABELS for part in parts) else [word]
    return frozenset().union(*(read_label(word) for word in words if word.strip()))
