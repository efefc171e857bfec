"""What words of logic make of a question: numbers in words, what lies beyond two, all leads, what is not."""

import pytest

from tests.words.test_dialogue import INFERIOR, NORMAL, RBBB, language, last_of, page

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
    answer, _ = last_of(language, evidence, turns)
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


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("Has the RBBB gone?", "The ECG shows right bundle branch block (probability 90%)."),
        ("Did the AF go away?", "There is no evidence of atrial fibrillation (probability 2%)."),
        ("Ist das Vorhofflimmern weg?", "Kein Hinweis auf: Vorhofflimmern (Wahrscheinlichkeit 2 %)."),
        ("房颤消失了吗？", "未见以下证据：心房颤动（概率 2%）。"),
        ("هل اختفى الرجفان؟", "لا دليل على: رجفان أذيني (الاحتمال 2%)."),
        ("Had he AF last year?", "There is no evidence of atrial fibrillation (probability 2%)."),
    ],
)
def test_no_yes_or_no_to_what_has_gone_or_was_there_before(language, question, said):
    assert language.answer(RBBB, question).startswith(said)


@pytest.mark.parametrize(
    ("question", "left", "right"),
    [
        ("Neither left nor right bundle branch block?", "no evidence of left", "shows right bundle"),
        ("ni bloqueo de rama izquierda ni derecha?", "No hay indicios", "El ECG muestra"),
        ("né blocco di branca destro né sinistro?", "Nessun segno", "L'ECG mostra"),
        ("noch links noch rechts een bundeltakblok?", "Geen aanwijzing", "Het ECG toont"),
        ("Ani blok lewej, ani prawej odnogi?", "Brak cech", "EKG pokazuje"),
    ],
)
def test_neither_nor_asks_for_both(language, question, left, right):
    said = language.answer(RBBB, question)
    assert left in said
    assert right in said


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("If I ignore the extra beats, is what's left normal?", "Besides premature beats I find nothing."),
        ("Wenn man die VES weglässt, ist es dann normal?", "Sonst finde ich nichts"),
        ("Voyez-vous autre chose que des ESV ?", "Aucune autre anomalie"),
        ("不算早搏的话，这张图正常吗?", "除早搏外未发现其他异常。"),
        ("अगर PVC को छोड़ दें तो बाकी ECG ठीक है?", "इसके अलावा"),
    ],
)
def test_what_is_to_be_thought_away_is_left_out(language, question, said):
    assert language.answer(page("SR", "PVC"), question).startswith(said)


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        (["any PVCs?", "and apart from that?"], "Besides premature ventricular complexes I find nothing."),
        (["VES?", "Und abgesehen davon?"], "Sonst finde ich nichts"),
        (["des ESV ?", "et à part ça ?"], "Aucune autre anomalie"),
        (["есть экстрасистолы?", "а кроме этого?"], "Кроме этого"),
        (["有室早吗？", "除此之外呢？"], "除室性早搏外未发现其他异常。"),
        (["VES var mı?", "bunun dışında?"], "Başka bir bulgu yok"),
    ],
)
def test_what_was_asked_about_may_be_left_out_without_its_name(language, turns, said):
    answer, _ = last_of(language, page("SR", "PVC"), turns)
    assert answer.startswith(said)


def test_nothing_is_left_out_where_nothing_was_asked_before(language):
    assert (
        language.answer(NORMAL, "and apart from that?") == "There is no abnormal finding: the ECG is normal."
    )


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("By how much does the QRS exceed 120 ms?", "The QRS duration is 150 ms, 30 ms above 120 ms."),
        ("how many ms short of 200 is the PR?", "The PR interval is 160 ms, 40 ms below 200 ms."),
        ("O ile QRS przekracza 120?", "Czas QRS: 150 ms, o 30 ms powyżej 120 ms."),
        ("QRS比120多出多少毫秒?", "QRS 时限：150 毫秒，比120 毫秒高30 毫秒。"),
        ("is the QRS over twice 100?", "The QRS duration is 150 ms."),
        ("Ist der QRS doppelt so breit wie 120 ms?", "QRS-Dauer: 150 ms."),
    ],
)
def test_how_far_from_a_number_and_how_many_times_it(language, question, said):
    assert language.answer(RBBB, question) == said


@pytest.mark.parametrize(
    "question",
    [
        "Is the T the right way up in V2?",
        "A onda T está para cima em V2?",
        "V2'de T dik mi?",
        "T dritta in V2?",
    ],
)
def test_which_way_a_wave_points_is_told_by_its_height(language, question):
    said = language.answer(NORMAL, question)
    assert said.rstrip(".").endswith(("+2.0 mm", "+2,0 mm"))
    assert not said.startswith(("Yes", "No", "Sim", "Não", "Evet", "Hayır", "Sì"))


@pytest.mark.parametrize("question", ["is it over 200 ms?", "more than 500?", "więcej niż sto trzydzieści?"])
def test_a_number_alone_is_compared_with_nothing_that_it_cannot_be_of(language, question):
    assert "72" not in language.answer(NORMAL, question)


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        (
            ["1st degree AV block?", "or worse?"],
            "No, there is no evidence of second- or third-degree AV block",
        ),
        (["Is the AV block of a higher degree than first?"], "No, there is no evidence of second- or third"),
        (["czy blok AV jest wyższego stopnia niż pierwszy?"], "Nie, brak cech: blok AV II lub III stopnia"),
        (["MI?", "old or new?"], "There is no evidence of myocardial infarction"),
        (["neither I nor aVL elevated?"], "The ST level in I is +0.0 mm. The ST level in aVL"),
        (
            ["a shockable rhythm?"],
            "I cannot tell whether this ECG shows wide-complex tachycardia, ventricular",
        ),
    ],
)
def test_degrees_ages_and_lists(language, turns, said):
    answer, _ = last_of(language, NORMAL, turns)
    assert answer.startswith(said)


@pytest.mark.parametrize(
    ("evidence", "turns", "said"),
    [
        (
            INFERIOR,
            ["Anterior or inferior?", "So it's the former?"],
            "No, there is no evidence of anterior myocardial infarction",
        ),
        (
            INFERIOR,
            ["É inferior ou lateral?", "A segunda opção, então?"],
            "Não, não há indícios de: infarto la",
        ),
        (RBBB, ["is there AF or RBBB?", "the latter?"], "Yes, the ECG shows right bundle branch"),
        (NORMAL, ["How long are the PR and the QRS?", "Is the first of these normal?"], "The PR interval"),
        (NORMAL, ["كم PR وكم QRS؟", "أيهما أقصر؟"], "فترة PR: 160"),
        (
            RBBB,
            ["Ist der rechte Schenkel blockiert?", "Und der andere?"],
            "Nein, kein Hinweis auf: Linksschenkel",
        ),
        (RBBB, ["È bloccata la branca sinistra?", "E l'altra?"], "Sì, l'ECG mostra: blocco di branca destra"),
        (page("SR", "PVC"), ["Anything abnormal?", "And without the PVCs?"], "Besides premature ventricular"),
        (RBBB, ["what's wrong?", "in one word please"], "The rhythm is sinus rhythm at 72 bpm, regular. Fi"),
    ],
)
def test_one_of_what_was_named_before(language, evidence, turns, said):
    answer, _ = last_of(language, evidence, turns)
    assert answer.startswith(said)


@pytest.mark.parametrize(
    ("evidence", "question", "said"),
    [
        (AF, "FA et lente ?", "Non, fréquence cardiaque : 140/min."),
        (AF, "AF, hem de yavaş mı?", "Hayır – kalp hızı: 140/dk."),
        (NORMAL, "Rate and blood pressure, please.", "The heart rate is 72 bpm."),
        (
            page("SR", "PVC"),
            "nothing but sinus beats?",
            "Besides sinus rhythm: premature ventricular complexes.",
        ),
        (page("SR", "PVC"), "全是窦性搏动，对吧?", "除窦性心律外：室性早搏。"),
        (RBBB, "RBBB with a normal PR?", "The PR interval of 160 ms is normal."),
        (INFERIOR, "The ST is up by at most 2 mm, isn't it?", "The ST level in aVF is +2.5 mm."),
        (RBBB, "Oś 115, czyli odchylona w lewo?", "Nie – oś serca: 115 stopni."),
        (
            page("SR", "PVC"),
            "¿son todos sinusales salvo las extrasístoles?",
            "ritmo sinusal (probabilidad 90 %).",
        ),
        (
            AF,
            "Is it anything other than sinus rhythm?",
            "The rhythm is atrial fibrillation at 140 bpm, regular. I find nothing else.",
        ),
    ],
)
def test_what_is_said_beside_a_finding_is_answered_as_well(language, evidence, question, said):
    assert language.answer(evidence, question).endswith(said)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("Has the left bundle been spared?", "There is no evidence of left bundle branch block"),
        ("Sol dal sağlam mı?", "Bulgusu yok: sol dal bloğu"),
        ("RBBB and nothing else?", "Yes, the ECG shows right bundle branch block"),
        ("is there nothing but a bundle branch block?", "Yes, the ECG shows right bundle"),
        ("QRS'e 30 ms eklesem 200 sınırını geçer mi?", "QRS süresi: 150 ms."),
    ],
)
def test_what_is_spared_what_is_alone_and_what_would_be(language, question, said):
    assert language.answer(RBBB, question).startswith(said)


def test_whether_a_sign_is_all_there_is_is_answered_by_the_leads(language):
    assert language.answer(INFERIOR, "is there only ST elevation?") == "ST elevation in II, III, aVF."
    opposite, _ = last_of(language, INFERIOR, ["is there ST depression?", "and the opposite?"])
    assert "II, III, aVF" in opposite
