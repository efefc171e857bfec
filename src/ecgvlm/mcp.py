"""`ecgvlm mcp`: a Model Context Protocol server on standard input and output, so that assistants can read
ECGs.

JSON-RPC 2.0, a message a line (MCP's stdio transport, revision 2025-11-25): initialize, tools/list,
tools/call and ping. That is all a server of tools needs, and no reason for the SDK's dozen packages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ecgvlm
from ecgvlm.atomic import write_file
from ecgvlm.digitize import FS
from ecgvlm.errors import EcgError, unreadable
from ecgvlm.files.bounded import BoundedDecoder
from ecgvlm.reader import Answer, Reader
from ecgvlm.record import Record
from ecgvlm.sheets import first_ecg
from ecgvlm.show.reports import lead_writer
from ecgvlm.words.compare import compare, described

REVISIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
_NO_REQUEST, _NOT_FOUND, _INVALID, _NO_JSON = -32600, -32601, -32602, -32700  # of JSON-RPC
_PATH = {"type": "string", "description": "A picture, PDF, DICOM file or ECG record on this machine."}


@dataclass(frozen=True)
class Tool:
    """call: what it does with its arguments, which are all texts."""

    summary: str
    properties: Mapping[str, Mapping[str, str]]
    required: tuple[str, ...]
    call: Callable[..., dict[str, Any] | str]


class _Refused(Exception):
    """A message that is no request for anything here."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


class Server:
    """Answers messages with a reader. Files are decoded in a process of their own."""

    def __init__(self, reader: Reader, decoder: BoundedDecoder):
        self._reader, self._decoder = reader, decoder
        self.tools = {
            "read_ecg": Tool(
                "Read a picture or record of a 12-lead ECG: findings with probabilities, measurements, "
                "a report, and the answer to a question about it.",
                {"path": _PATH, "question": {"type": "string", "description": "What to ask about it."}},
                ("path",),
                self._read,
            ),
            "compare_ecgs": Tool(
                "What changed between two ECGs of one patient, beyond the error of measuring; of a picture "
                "with several the first is meant.",
                {"old": _PATH, "new": _PATH},
                ("old", "new"),
                self._compare,
            ),
            "digitise_ecg": Tool(
                "Write the twelve leads of an ECG in mV into a file; they are too long to be told.",
                {
                    "path": _PATH,
                    "output": {
                        "type": "string",
                        "description": "New file: .csv (time_s,I,II,...,V6), .dcm (DICOM), .zip (WFDB).",
                    },
                    "ecg": {"type": "string", "description": "Of a picture with several: which, from 1."},
                },
                ("path", "output"),
                self._digitise,
            ),
        }

    def serve(self, lines: Iterable[str]) -> Iterator[str]:
        """An answer for each message that wants one."""
        for line in lines:
            if line.strip() and (answer := self._line(line)) is not None:
                yield json.dumps(answer)

    def _line(self, line: str) -> dict[str, Any] | list[dict[str, Any]] | None:
        """What one message wants, or, in revision 2025-03-26, several in a list."""
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            return _error(None, _Refused(_NO_JSON, f"not JSON ({error})"))
        if isinstance(found, list) and found:
            return [answer for one in found if (answer := self._message(one)) is not None] or None
        return self._message(found)

    def _message(self, message: Any) -> dict[str, Any] | None:
        key = None
        try:
            key = message.get("id") if isinstance(message, dict) else None
            if not isinstance(message, dict) or not isinstance(message.get("method"), str):
                raise _Refused(_NO_REQUEST, "a message needs a method")
            if key is None:  # a notification
                return None
            parameters = message.get("params")
            result = self._result(message["method"], parameters if isinstance(parameters, dict) else {})
            return {"jsonrpc": "2.0", "id": key, "result": result}
        except _Refused as refusal:
            return _error(key, refusal)

    def _result(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        if method == "initialize":
            wanted = parameters.get("protocolVersion")
            return {
                "protocolVersion": wanted if wanted in REVISIONS else REVISIONS[0],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "ecgvlm", "version": ecgvlm.__version__},
                "instructions": "Not a medical device: a clinician must check every reading.",
            }
        if method == "ping":
            return {}
        if method == "tools/list":
            return {"tools": [_described(name, tool) for name, tool in self.tools.items()]}
        if method == "tools/call":
            return self._call(parameters)
        raise _Refused(_NOT_FOUND, f"there is no method {method[:60]!r}")

    def _call(self, parameters: dict[str, Any]) -> dict[str, Any]:
        tool = self.tools.get(str(parameters.get("name")))
        given = parameters.get("arguments") or {}
        if isinstance(given, dict):  # null stands for what is not given
            given = {name: value for name, value in given.items() if value is not None}
        if tool is None:
            raise _Refused(_INVALID, f"there is no such tool; there are {', '.join(self.tools)}")
        # From here on the assistant is told, not only its program, so that it can mend what it asked.
        if not isinstance(given, dict) or not given.keys() <= tool.properties.keys():
            return _failed(f"the arguments are {', '.join(tool.properties)}")
        if missing := [name for name in tool.required if name not in given]:
            return _failed(f"{' and '.join(missing)} must be given")
        if not all(isinstance(value, str) for value in given.values()):
            return _failed("the arguments must be texts")
        try:
            found = tool.call(**given)
        except EcgError as error:
            return _failed(error.message)
        except Exception as error:  # a fault of ours on one file must not end the session
            return _failed(f"{type(error).__name__}: {error}")
        if isinstance(found, str):
            return {"content": [{"type": "text", "text": found}]}
        return {"content": [{"type": "text", "text": json.dumps(found)}], "structuredContent": found}

    def _read(self, path: str, question: str | None = None) -> dict[str, Any]:
        answer = self._answer(path, question).to_dict()
        # All of them would fill nine tenths of what an assistant must take in.
        return {**answer, "criteria": [criterion for criterion in answer["criteria"] if criterion["met"]]}

    def _compare(self, old: str, new: str) -> dict[str, Any]:
        evidence = [self._reader.look(self._decoder.open(path), path).evidence for path in (old, new)]
        found = compare(*evidence)
        return {"text": described(found), **found.to_dict()}

    def _digitise(self, path: str, output: str, ecg: str = "1") -> str:
        write = lead_writer(Path(output))
        if Path(output).exists():
            raise unreadable(output, "is there already; name a new file")
        content, page = first_ecg(self._decoder.open(path), self._reader.digitizer)
        records = [content] if isinstance(content, Record) else []
        if page is not None:
            records = [Record(one.leads(FS), FS, source=path) for one in (page, *page.others)]
        numbered = {str(n): record for n, record in enumerate(records, 1)}
        if ecg not in numbered:
            raise EcgError("not_an_ecg", f"{path}: it shows ECG {' and '.join(numbered)}, no {ecg[:9]!r}")
        write_file(Path(output), write(numbered[ecg]))
        return f"{output}: the twelve leads in mV"

    def _answer(self, path: str, question: str | None = None) -> Answer:
        answer = self._reader.read(self._decoder.open(path), question, path)
        if answer.error is not None:
            raise answer.error
        return answer


def _error(key: Any, refusal: _Refused) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": key, "error": {"code": refusal.code, "message": str(refusal)}}


def _failed(message: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": message}], "isError": True}


def _described(name: str, tool: Tool) -> dict[str, Any]:
    schema = {"type": "object", "properties": dict(tool.properties), "required": list(tool.required)}
    return {"name": name, "description": tool.summary, "inputSchema": schema}
