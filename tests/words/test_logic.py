"""What words of logic make of a question: numbers in words, what lies beyond two, all leads, what is not."""

import pytest

from ecgvlm.words.dialogue import Conversation
from tests.words.test_dialogue import INFERIOR, NORMAL, RBBB, language, page

__all__ = ["language"]  # a fixture

AF = page("AF", heart_rate_bpm=140.0, pr_ms=None)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("is it slower than 60 or faster than 100?", "No, the heart rate is 72 bpm."),
        ("HR under 60 or over 70?", "Yes, the heart rate is 72 bpm."),
        ("HR over 60 and under 70?", "No, the heart rate is 72 bpm."),
        ("is the rate above 60 but below 100?", "Yes, the heart rate is 72 bpm."),
        ("ist die Frequenz unter 60 oder über 100?", "Nein – Herzfrequenz: 72/min."),
        ("心率低于60或高于100?", "否，心率：72 次/分。"),
    ],
)
def test_what_lies_beyond_two_numbers_is_not_what_lies_between_them(language, question, said):
    assert language.answer(NORMAL, question) == said


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("did the rate drop below fifty?", "No, the heart rate is 72 bpm."),
        ("Does the PR exceed five small squares?", "No, the PR interval is 160 ms."),
        ("PR more than half of one big box?", "The PR interval is 160 ms (0.8 large squares)."),
        ("rate over one hundred and sixty five?", "No, the heart rate is 72 bpm."),
        ("rate over one thirty?", "No, the heart rate is 72 bpm."),
        ("is the PR under 1s?", "Yes, the PR interval is 160 ms."),
        ("axis more negative than minus thirty?", "No, the axis is 40 degrees."),
        ("частота больше ста тридцати?", "Нет – частота сердечных сокращений: 72 уд/мин."),
        ("ist die Frequenz unter sechzig?", "Nein – Herzfrequenz: 72/min."),
        ("czy częstość jest poniżej pięćdziesięciu?", "Nie – częstość serca: 72/min."),
        (
            "is 48 bpm too slow?",
            "The limits of normal for heart rate that I use: 60 bpm to 100 bpm. The heart rate is 72 bpm.",
        ),
        ("he is 48, rate?", "The heart rate is 72 bpm."),
        ("one of my patients, is the rate over 100?", "No, the heart rate is 72 bpm."),
    ],
)
def test_numbers_may_be_words_and_may_have_a_unit(language, question, said):
    assert language.answer(NORMAL, question) == said


@pytest.mark.parametrize(
    ("question", "rate"),
    [
        ("Does it show AF with a rate under 100?", "No, the heart rate is 140 bpm."),
        ("AF with rate < 100?", "No, the heart rate is 140 bpm."),
        ("is there AF with a heart rate above 120", "Yes, the heart rate is 140 bpm."),
    ],
)
def test_a_number_beside_a_finding_is_compared_with_its_measurement(language, question, rate):
    said = language.answer(AF, question)
    assert said.startswith("Yes, the ECG shows atrial fibrillation")
    assert said.endswith(rate)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("ST elevation in every lead?", "ST elevation in II, III, aVF."),
        ("diffuse ST elevation?", "ST elevation in II, III, aVF."),
        ("Gibt es ST-Hebungen in allen Ableitungen?", "ST-Hebung in II, III, aVF."),
        ("Подъём ST во всех отведениях?", "Подъём сегмента ST: II, III, aVF."),
    ],
)
def test_whether_all_leads_show_a_sign_is_answered_by_those_that_do(language, question, said):
    assert language.answer(INFERIOR, question) == said


@pytest.mark.parametrize(
    "question", ["T wave inversion other than in aVR and V1?", "T inversion except in aVR?"]
)
def test_what_is_asked_of_other_leads_is_answered_of_these(language, question):
    said = language.answer(NORMAL, question)
    assert "aVR" not in said
    assert "in V2" in said


@pytest.mark.parametrize(
    ("question", "lead"),
    [
        ("что во втором отведении?", "Отведение II:"),
        ("was ist in der zweiten Ableitung?", "Ableitung II:"),
        ("ikinci derivasyonda ne var?", "II derivasyonu:"),
        ("第三导联怎么样?", "III 导联："),
        ("what's in lead two?", "Lead II:"),
        ("Is the QRS upright in lead I?", "Lead I:"),
        ("le QRS est-il positif en I ?", "Dérivation I :"),
    ],
)
def test_a_lead_may_be_counted_and_its_qrs_have_a_direction(language, question, lead):
    assert language.answer(NORMAL, question).startswith(lead)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("If it's not sinus, what is it?", "The rhythm is atrial fibrillation at 140 bpm, regular."),
        ("Wenn es kein Sinusrhythmus ist, was dann?", "Rhythmus: Vorhofflimmern mit 140/min, regelmäßig."),
        ("the doctor said it's normal, is that right?", "ABNORMAL - Atrial Fibrillation"),
        (
            "My watch said possible AF. Does the 12 lead agree?",
            "Yes, the ECG shows atrial fibrillation (probability 90%).",
        ),
        (
            "no P waves, right?",
            "I cannot judge the shape of the P waves. The PR interval cannot be measured: "
            "the waves cannot be told apart clearly.",
        ),
        ("Thank you, you've been a great help", "You are welcome. Ask me more about this ECG."),
    ],
)
def test_what_is_not_and_what_others_say(language, question, said):
    assert language.answer(AF, question) == said


@pytest.mark.parametrize(
    ("evidence", "turns", "said"),
    [
        (RBBB, ["БПНПГ есть?", "насколько уверен?"], "Вероятность – блокада правой ножки пучка Гиса: 90%."),
        (
            NORMAL,
            ["blocco AV di primo grado?", "e di secondo?"],
            "No, nessun segno di: blocco AV di secondo o terzo grado (probabilità 2%).",
        ),
        (AF, ["is it sinus?", "what is it then?"], "The rhythm is atrial fibrillation at 140 bpm, regular."),
        (NORMAL, ["Is the QTc prolonged?", "At least it isn't over 500, is it?"], "The QTc is 416 ms."),
        (NORMAL, ["how high is the R wave in V2?", "and the T there?"], "The T wave in V2 measures +2.0 mm."),
        (NORMAL, ["Jakie tętno?", "to dobrze?"], "Częstość serca 72/min: w normie."),
    ],
)
def test_what_goes_on_with_a_question_is_asked_of_the_same(language, evidence, turns, said):
    answer, before = "", Conversation()
    for turn in turns:
        answer, before = language.converse(evidence, turn, before)
    assert answer == said


@pytest.mark.parametrize(
    ("question", "wave"),
    [
        ("what is a P wave", "The P wave shows the activation of the atria."),
        ("was ist die ST-Strecke?", "Die ST-Strecke ist die Linie"),
        ("什么是T波?", "T 波表示每次心跳后心室的恢复。"),
    ],
)
def test_a_wave_is_explained(language, question, wave):
    assert language.answer(NORMAL, question).startswith(wave)


@pytest.mark.parametrize("question", ["Referto, grazie.", "Rapor, teşekkürler.", "Report, thanks."])
def test_who_orders_a_report_with_thanks_gets_it(language, question):
    assert "72" in language.answer(NORMAL, question)


def test_who_thanks_for_a_report_gets_none(language):
    assert "72" not in language.answer(NORMAL, "thanks for the report")


@pytest.mark.parametrize("question", ["Is it LBBB or RBBB or neither?", "LBBB, RBBB, both or neither?"])
def test_a_choice_is_no_question_of_what_it_means(language, question):
    assert "means" not in language.answer(NORMAL, question)


@pytest.mark.parametrize(
    "question",
    [
        "any couplets?",
        "Gibt es Couplets?",
        "y a-t-il des doublets ?",
        "¿hay dupletes?",
        "há pares de extrassístoles?",
        "ci sono coppie di extrasistoli?",
        "zijn er doubletten?",
        "Czy są pary ekstrasystolii?",
        "Есть ли парные экстрасистолы?",
        "Kuplet var mı?",
        "有成对室早吗?",
        "Perikarderguss?",
        "¿derrame pericárdico?",
        "Есть ли зубец U?",
    ],
)
def test_what_is_not_judged_is_not_told_by_what_is_like_it(language, question):
    said = language.answer(page("SR", "PVC"), question)
    assert "90" not in said  # that there are extra beats


@pytest.mark.parametrize(
    ("question", "means"),
    [
        (
            "what does bradycardia mean?",
            "Bradycardia means: a slow heartbeat of less than 60 beats a minute.",
        ),
        (
            "my heart races, what is it?",
            "Tachycardia means: a fast heartbeat of more than 100 beats a minute.",
        ),
        ("was ist ein Schenkelblock?", "Schenkelblock bedeutet: ein Schenkel leitet verzögert"),
        ("что такое ишемия?", "Ишемия миокарда – это: сердечная мышца"),
    ],
)
def test_what_people_ask_about_is_explained_by_its_term(language, question, means):
    assert language.answer(NORMAL, question).startswith(means)
