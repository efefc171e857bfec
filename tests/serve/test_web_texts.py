"""The web page's texts in other languages: every one is on the page, and every language has it."""

import html
import json
import re
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
    sources = [WEB / name for name in ("index.html", "app.js", "chat.js", "compare.js", "panels.js")]
    page = html.unescape("\n".join(source.read_text("utf-8") for source in sources))
    assert [text for text in texts("de") if text not in page] == []


def test_the_page_offers_the_languages_of_the_answers():
    offered = re.findall(r"\b(\w\w): \"", (WEB / "language.js").read_text("utf-8"))
    assert set(offered) == set(LANGUAGES)
