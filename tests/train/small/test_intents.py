"""What understands questions, as it is trained and exported."""

from random import Random

import numpy as np
import pytest

from ecgvlm.sessions import open_session
from ecgvlm.words.lexicon import lexicon
from ecgvlm.words.understand import PROPER, UNUSUAL, clause, features

torch = pytest.importorskip("torch")


def test_the_exported_nets_say_what_the_trained_ones_say_on_average(tmp_path):
    from ecgvlm.train.small.intents import DIMENSIONS, LANGUAGES, Example, Net, export, intents, scores

    torch.manual_seed(0)
    nets = [Net(len(intents()), len(LANGUAGES) + 1).eval() for _ in range(2)]
    export(nets, tmp_path, 1.0, 0.8)
    rng = np.random.default_rng(0)
    meant = rng.normal(size=(3, DIMENSIONS + 1)).astype(np.float32)
    example = Example(np.sort(rng.choice(1 << 15, 40, False)), meant, 0, 0)
    said = open_session("intents.onnx", tmp_path).run(
        None, {"buckets": example.buckets, "meanings": example.meanings}
    )
    assert np.abs(said[0] - scores(nets, [example])[0]).max() < 0.01


def test_harmless_words_are_written_beside_what_is_asked():
    from ecgvlm.train.small.intents import Writer

    writer = Writer("en", Random(0))
    asides = {writer._aside() for _ in range(200)}
    assert not any("{" in aside for aside in asides)
    written = [aside for aside in asides if aside != aside.lower()]
    assert 0 < len(written) < len(asides)  # at times as names are


def test_a_word_written_as_a_name_is_one_that_was_not_met():
    known = lexicon("en")

    def seen(text: str) -> list[str]:
        return clause(words := known.words(text), known.objects(words), known)

    assert f"{PROPER}vukovic" in seen("AF, says Vukovic")
    assert f"{UNUSUAL}vukovic" in seen("AF, says vukovic")
    alike = [set(features(seen(f"AF, says {name}"))) for name in ("Vukovic", "Zarimba")]
    assert len(alike[0] & alike[1]) > len(set(features(seen("AF, says vukovic"))) & alike[1])
