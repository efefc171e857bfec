"""The web page's texts in other languages: every one is on the page, and every language has it."""

import html
import json
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from ecgvlm.words.phrases import LANGUAGES

WEB = files("ecgvlm.serve") / "web"
OTHERS = [language for language in LANGUAGES if language != "en"]


def texts(language: str) -> dict[str, str]:
    return json.loads((WEB / "texts" / f"{language}.json").read_text("utf-8"))


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_has_every_text_with_its_placeholders(language):
    found = texts(language)
    assert found.keys() == texts("de").keys()
    for english, said in found.items():
        assert said.strip()
        assert set(re.findall(r"\{\w+\}", said)) == set(re.findall(r"\{\w+\}", english)), english


def test_every_text_stands_on_the_page():
    files = [*WEB.iterdir(), WEB / "samples/samples.json"]
    page = html.unescape("\n".join(path.read_text("utf-8") for path in files if path.is_file()))
    assert [text for text in texts("de") if text not in page] == []


class Shown(HTMLParser):
    """What a page shows or says: its texts, and the attributes that language.js translates."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def handle_starttag(self, tag, attributes):
        self.found |= {value for name, value in attributes if name in ("aria-label", "placeholder", "title")}

    def handle_data(self, data):
        self.found.add(data.strip())


def test_the_whole_page_is_translated():
    """Layers, camera, corrections and errors stood in English between the other texts."""
    shown = Shown()
    shown.feed((WEB / "index.html").read_text("utf-8").partition("<body>")[2])
    same = {"", "ecgvlm", "25", "API", "PDF", "JSON", "FHIR", "CSV", "WFDB", "DICOM"}
    assert shown.found - same - texts("de").keys() == set()
    for path in WEB.iterdir():
        if path.name.endswith(".js"):
            named = set(re.findall(r'\bt\(\s*"([^"]+)"', path.read_text("utf-8")))
            assert named <= texts("de").keys(), path.name


def test_the_page_offers_the_languages_of_the_answers():
    offered = re.findall(r"\b(\w\w): \"", (WEB / "language.js").read_text("utf-8"))
    assert set(offered) == set(LANGUAGES)
