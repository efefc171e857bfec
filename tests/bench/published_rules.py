"""A second, plain implementation of the scoring rules PULSE published, written from their description
only.
"""

import random

from sklearn.metrics import f1_score, hamming_loss, roc_auc_score

CODES = {
    "code15-test": ["1dAVb", "RBBB", "LBBB", "SB", "ST", "AF"],
    "ptb-test": ["NORM", "MI", "STTC", "CD", "HYP"],
    "cpsc-test": ["NORM", "AF", "I-AVB", "LBBB", "RBBB", "PAC", "PVC", "STD", "STE"],
}


def predicted(task, text):
    if "Answer:" in text:
        text = text[text.rindex("Answer:") + len("Answer:") :]
    out = set()
    for code in CODES[task]:
        if code != "NORM" and code in text:
            out.add(code)
    if "ABNORMAL" in text:
        out.add("ABNORMAL")
    elif "NORM" in text:
        out.add("NORM")
    return out


def gold(task, text):
    if task == "code15-test" and text in ("NORM", "ABNORMAL"):
        return {text}
    return {code for code in CODES[task] if code in text}


def scores(task, golds, answers):
    """f1, auc, hl over the labels that occur in the gold; a class with one outcome makes auc None."""
    truth = [gold(task, g) for g in golds]
    called = [predicted(task, a) for a in answers]
    labels = sorted(set().union(*truth))
    y = [[int(c in t) for c in labels] for t in truth]
    p = [[int(c in t) for c in labels] for t in called]
    columns = [([r[k] for r in y], [r[k] for r in p]) for k in range(len(labels))]
    f1 = sum(f1_score(t, c, zero_division=0) for t, c in columns) / len(columns)
    try:
        aucs = [roc_auc_score(t, c) for t, c in columns]
        auc = sum(aucs) / len(aucs)
    except ValueError:
        auc = None
    if auc != auc:
        auc = None
    return f1, auc, sum(hamming_loss(t, c) for t, c in columns) / len(columns)


def choice(text, guess: random.Random, options):
    letters = "ABCDEFGH"
    if text in tuple(letters):
        return text
    for letter in letters:
        if letter + "." in text:
            return letter
    if "The correct option is " in text:
        rest = text.rsplit("The correct option is ", 1)[1]
        return rest[0] if rest and rest[0] in letters else guess.choice(options)
    if "Answer:" in text:
        rest = text.rsplit("Answer:", 1)[1]
        for letter in letters:
            if letter in rest:
                return letter
    return guess.choice(options)
