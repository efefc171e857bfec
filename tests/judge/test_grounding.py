"""What a finding is said to rest on is what it rests on: without those leads it falls."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from pages import digitized, page

from ecgvlm.judge.evidence import Evidence
from ecgvlm.judge.grounding import DROP, Ground, find_grounds
from ecgvlm.labels import LABELS
from ecgvlm.measure import MEASUREMENTS, measure
from ecgvlm.reader import Answer
from ecgvlm.record import LEADS
from ecgvlm.show.overlay import draw_overlay, find_evidence, find_overlay, find_regions

FS = 500.0


@dataclass
class TwoLeads:
    """Stands for the encoder: sees AMI while V2 or V3 has waves, 1dAVb whatever there is."""

    thresholds: dict = field(default_factory=lambda: dict.fromkeys(LABELS, 0.5))

    def calibrated(self, leads, beats, known):
        p = np.full((len(leads), len(LABELS)), 0.1)
        waves = np.nan_to_num(leads[:, [LEADS.index("V2"), LEADS.index("V3")]])
        seen = (np.ptp(waves, axis=2) > 0.6).mean(1)  # [n]
        p[:, LABELS.index("AMI")] = 0.1 + 0.8 * (seen > 0) + 0.05 * (seen > 0.5)
        p[:, LABELS.index("1dAVb")] = 0.8
        return p

    def probabilities(self, leads, measurements):
        return dict(zip(LABELS, self.calibrated(leads[None], None, None)[0].tolist()))


@pytest.fixture(scope="module")
def read():
    rendering, found = page(), digitized()
    m = measure(found.leads(FS), FS)
    model = TwoLeads()
    evidence = Evidence(
        probabilities=model.probabilities(found.leads(100.0), m),
        thresholds=model.thresholds,
        measurements={name: getattr(m, name) for name in MEASUREMENTS},
        leads=m.waves,
    )
    return rendering.image, Answer("a", "?", 0.1, page=found, evidence=evidence), model


def test_the_fewest_leads_without_which_a_finding_falls(read):
    _, answer, model = read
    grounds = {g.label: g for g in find_grounds(answer.page, answer.evidence, model)}
    assert set(grounds) == {"AMI", "1dAVb"}
    assert set(grounds["AMI"].leads) == {"V2", "V3"}
    assert grounds["AMI"].drop >= DROP
    assert grounds["AMI"].intervals == ("QRS", "T")
    # No part of the page makes it fall: all leads are named, and the drop says so.
    assert grounds["1dAVb"].leads == LEADS
    assert grounds["1dAVb"].intervals == ()
    assert grounds["1dAVb"].drop == 0


def test_evidence_is_drawn_in_its_leads_only(read):
    image, answer, model = read
    grounds = find_grounds(answer.page, answer.evidence, model)
    ami = [g for g in grounds if g.label == "AMI"]
    plain, marked = draw_overlay(image, answer), draw_overlay(image, answer, ami)
    changed = np.argwhere((plain != marked).any(2))[:, ::-1]
    assert len(changed)
    strips = {s.lead: s for s in answer.page.strips}
    ends = np.array([[strips["V2"].x0, strips["V2"].y], [strips["V3"].x1, strips["V3"].y]])
    left, right = answer.page.to_source(ends)[:, 0]
    assert changed[:, 0].min() >= left - 5
    assert changed[:, 0].max() <= right + 5


def test_a_finding_is_marked_where_its_definition_looks(read):
    """AMI: QRS and T of V2 and V3; early beats: around them; without intervals: the whole leads."""
    _, answer, model = read
    overlay = find_overlay(answer)
    grounds = find_grounds(answer.page, answer.evidence, model)
    found = find_evidence(answer, overlay, grounds)
    intervals = [x for x in overlay.intervals if x.lead in ("V2", "V3") and x.name in ("QRS", "T")]
    assert found["AMI"]["regions"] == [
        {"lead": x.lead, "outline": x.outline.round(1).tolist()} for x in intervals
    ]
    assert "Judged by the QRS complexes, ST segments and T waves in V2, V3" in found["AMI"]["text"]
    assert "all leads; no part of the page alone decides" in found["1dAVb"]["text"]
    told = find_evidence(answer, overlay, grounds, "de")["AMI"]["text"]
    assert told.startswith("Beurteilt nach: QRS-Komplexe, ST-Strecken und T-Wellen in V2, V3")

    early = np.zeros(len(answer.measurements.beats), bool)
    early[0] = True
    measured = replace(answer.measurements, premature=early)
    one = replace(answer, page=replace(answer.page, measurements=measured))
    pvc = Ground("PVC", ("II",), 0.5, (), True)
    regions = find_regions(one, find_overlay(one), pvc)
    beats = [x for x in overlay.beats if x.t == answer.measurements.beats[0] and x.lead == "II"]
    assert len(regions) == len(beats) > 0
    for region, beat in zip(regions, beats):
        assert (region.outline.min(0) < beat.at).all()
        assert (region.outline.max(0) > beat.at).all()

    whole = find_regions(answer, overlay, Ground("ST", ("V6",), 0.5, (), False))
    assert [x.outline.tolist() for x in whole] == [
        x.outline.tolist() for x in overlay.leads if x.lead == "V6"
    ]
