"""The Model Context Protocol as assistants speak it: tools are listed, called, and refuse in one line."""

import json

import numpy as np
import pytest

from ecgvlm.errors import EcgError
from ecgvlm.files.leaf import Leaf
from ecgvlm.mcp import REVISIONS, Server
from ecgvlm.reader import Answer
from ecgvlm.record import Record


class Reader:
    digitizer = None

    def read(self, page, question, name):
        return Answer(name, question or "", 0.0, error=EcgError("not_an_ecg", "no twelve leads"))


class Decoder:
    def open(self, path):
        return [Leaf(path, lambda: Record(np.zeros((12, 10), np.float32), 500.0))]


@pytest.fixture
def ask():
    server = Server(Reader(), Decoder())

    def ask(method: str, **parameters) -> dict:
        line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters})
        (answer,) = server.serve([line])
        return json.loads(answer)

    return ask


def test_a_session_begins(ask):
    for revision in (*REVISIONS, "1999-01-01"):
        result = ask("initialize", protocolVersion=revision)["result"]
        assert result["protocolVersion"] == (revision if revision in REVISIONS else REVISIONS[0])
    assert result["serverInfo"]["name"] == "ecgvlm"
    assert list(Server(Reader(), Decoder()).serve(['{"method": "notifications/initialized"}', ""])) == []
    tools = ask("tools/list")["result"]["tools"]
    assert tools[0]["name"] == "read_ecg"
    assert all(tool["inputSchema"]["type"] == "object" for tool in tools)


def test_tools_are_called(ask, tmp_path):
    output = tmp_path / "a.csv"
    arguments = {"path": "a.xml", "output": str(output)}
    found = ask("tools/call", name="digitise_ecg", arguments=arguments)["result"]
    assert found["content"][0]["text"] == f"{output}: the twelve leads in mV"
    assert output.read_text().startswith("time_s,I,II")
    assert (
        "already"
        in ask("tools/call", name="digitise_ecg", arguments=arguments)["result"]["content"][0]["text"]
    )
    refused = ask("tools/call", name="read_ecg", arguments={"path": "a.png"})["result"]
    assert refused == {"content": [{"type": "text", "text": "no twelve leads"}], "isError": True}


def test_null_stands_for_what_is_not_given(ask, tmp_path):
    arguments = {"path": "a.xml", "ecg": None, "output": str(tmp_path / "a.csv")}
    assert "isError" not in ask("tools/call", name="digitise_ecg", arguments=arguments)["result"]


def test_an_assistant_is_told_the_criteria_that_are_met(ask, monkeypatch):
    """All 183 filled its context: 42 kB a page."""

    class Read:
        error = None

        def to_dict(self):
            return {"ok": True, "criteria": [{"name": "a", "met": True}, {"name": "b", "met": False}]}

    monkeypatch.setattr(Reader, "read", lambda *_: Read())
    found = ask("tools/call", name="read_ecg", arguments={"path": "a.png"})["result"]
    assert [criterion["name"] for criterion in found["structuredContent"]["criteria"]] == ["a"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "path must be given"),
        ({"path": 3}, "must be texts"),
        ({"path": "a", "more": "b"}, "the arguments are path, question"),
        (["a"], "the arguments are path, question"),
    ],
)
def test_an_assistant_is_told_what_its_arguments_lack(ask, arguments, said):
    """As an error of the protocol, which its program keeps to itself, it could not mend them."""
    found = ask("tools/call", name="read_ecg", arguments=arguments)["result"]
    assert found["isError"]
    assert said in found["content"][0]["text"]


def test_several_messages_in_a_list():
    """So may clients of revision 2025-03-26 send them."""
    ping, note = {"id": 1, "method": "ping"}, {"method": "notifications/initialized"}
    lines = [json.dumps(x) for x in ([ping, note, 3], [note], [])]
    several, none = map(json.loads, Server(Reader(), Decoder()).serve(lines))
    assert [answer.get("result") for answer in several] == [{}, None]
    assert several[1]["error"]["code"] == none["error"]["code"] == -32600


@pytest.mark.parametrize(
    ("method", "parameters", "code"),
    [
        ("tools/call", {"name": "none"}, -32602),
        ("resources/list", {}, -32601),
    ],
)
def test_what_is_not_there_is_refused(ask, method, parameters, code):
    assert ask(method, **parameters)["error"]["code"] == code


def test_what_is_no_message_is_refused():
    answers = [json.loads(x) for x in Server(Reader(), Decoder()).serve(["{", "3", "[" * 9999])]
    assert [answer["error"]["code"] for answer in answers] == [-32700, -32600, -32700]


def test_a_fault_of_ours_does_not_end_the_session(ask, monkeypatch):
    monkeypatch.setattr(Reader, "read", lambda *_: 1 // 0)
    failed = ask("tools/call", name="read_ecg", arguments={"path": "a.png"})["result"]
    assert failed["isError"]
    assert "ZeroDivisionError" in failed["content"][0]["text"]
    assert ask("ping")["result"] == {}
