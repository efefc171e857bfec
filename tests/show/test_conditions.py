"""Conditions as people are shown them."""

from ecgvlm.show.conditions import met_conditions


def entry(name: str, value: float, limit: float | None, met: bool = True) -> dict:
    return {
        "finding": "AF", "name": name, "value": value, "unit": "", "comparison": ">", "limit": limit,
        "met": met, "sure": 1.0, "source": "", "leads": [],
    }  # fmt: skip


def test_what_is_told_alike_is_told_once_and_what_is_not_met_not_at_all():
    told = met_conditions([
        entry("atrial fibrillation", 0.74, None), entry("atrial fibrillation", 0.74, None),
        entry("variation of RR intervals", 0.4, 0.15),
        entry("variation of RR intervals", 0.4, 0.5, met=False),
    ])["AF"]  # fmt: skip
    assert told.count("atrial fibrillation") == 1
    assert told.count("variation of RR intervals") == 1
    assert "0.15" in told
