"""The web page in Debian's Chromium, against the real server with the reader of `fakes`.

ECGVLM_SCREENSHOTS=1 also writes the README's pictures to docs/images, with the shipped model.
"""

import base64
import contextlib
import json
import os
import re
from pathlib import Path

import fakes
import httpx
import pytest
from PIL import Image

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)")
pytest.importorskip("uvicorn", reason="needs the extra serve")
CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium (Debian: apt install chromium)")
expect = sync_api.expect

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "src/ecgvlm/serve/web/samples"
SINUS, BLOCK = SAMPLES / "sinus_rhythm.webp", SAMPLES / "left_bundle_branch_block_photo.webp"
PX_PER_MM = 5.4 * 1500 / 1604  # of SINUS: how examples/make.py drew it, and how much smaller the sample is
PATIENCE = 300_000  # ms; a page is read in two seconds, unless the machine is busy with something else


@contextlib.contextmanager
def running(make, store=None):
    """The server on a free port, in a thread; its address."""
    import live

    from ecgvlm.serve.service import Settings

    with live.running(Settings(workers=1, seconds=PATIENCE / 1000, store=store), make) as client:
        yield f"{client.base_url}/"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    from ecgvlm.serve.store import Store

    store = Store(f"sqlite:///{tmp_path_factory.mktemp('store')}/reads.db")
    yield store
    store.close()


@pytest.fixture(scope="module")
def address(store):
    with running(fakes.make, store) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    alone = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    with sync_api.sync_playwright() as playwright:
        args = ["--no-sandbox", alone, *camera]
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=args, timeout=PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def visit(browser, address):
    """Opens the page; fails where it throws an error, breaks its Content-Security-Policy or asks others."""

    @contextlib.contextmanager
    def visit(**options):
        context = browser.new_context(reduced_motion="reduce", **options)  # cheaper to draw
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        wrong, asked = [], []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda line: wrong.append(line.text) if "Security Policy" in line.text else None)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        try:
            yield page
            assert wrong == []
            assert [url for url in asked if not url.startswith((address, "blob:", "data:"))] == []
        finally:
            context.close()

    return visit


def test_the_page_opens_without_its_server(visit):
    """Once visited it stands whole from what the browser keeps, and says that the server is away."""
    web = ROOT / "src/ecgvlm/serve/web"
    own = {p.relative_to(web).as_posix() for p in web.rglob("*.*") if p.parent.name != "samples"}
    with visit(locale="de-DE") as page:
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        kept = page.evaluate(
            "caches.open('ecgvlm-shell').then((c) => c.keys()).then((k) => k.map((r) => r.url))"
        )
        assert {url.removeprefix(page.url) for url in kept} == own - {"index.html", "worker.js"} | {""}
        page.context.set_offline(True)
        page.reload()
        expect(page.locator("body")).to_contain_text("Der Server ist nicht erreichbar")
        expect(page.locator("#samples-title")).to_be_hidden()


@pytest.fixture(scope="module")
def answers(address):
    """What the server answers about SINUS and BLOCK, so that not every test waits until it reads them."""
    said = {}
    for path in (SINUS, BLOCK):
        fields = {"files": {"image": (path.name, path.read_bytes())}, "data": {"overlay": "true"}}
        said[path] = httpx.post(address + "v1/read", **fields, timeout=PATIENCE / 1000).json()
    return said


def replay(page, *answers):
    """Have the next reads answered with these objects."""
    left = list(answers)
    page.route("**/v1/read", lambda route: route.fulfill(json=left.pop(0)) if left else route.continue_())


@pytest.fixture(scope="module")
def opened(visit, answers):
    """A page that shows SINUS, shared by the tests that only look at it."""
    with visit(viewport={"width": 1280, "height": 900}) as page:
        page.read = answers[SINUS]
        replay(page, page.read)
        choose(page, SINUS)
        page.locator("article.read").wait_for()
        yield page


def choose(page, *files):
    page.locator("#files").set_input_files(files)


def on_screen(page, x, y):
    """Where px of the picture lie on the screen."""
    box = page.locator(".picture").bounding_box()
    scale = box["width"] / page.read["picture"]["width"]
    return box["x"] + x * scale, box["y"] + y * scale


def caliper_between(page, a, b):
    """What the caliper says between two points of the picture, not snapped: ms, mV."""
    page.keyboard.down("Alt")
    page.mouse.move(*on_screen(page, *a))
    page.mouse.down()
    page.mouse.move(*on_screen(page, *b), steps=3)
    page.mouse.up()
    page.keyboard.up("Alt")
    return spoken(page)


def spoken(page):
    said = page.locator(".readout").inner_text().replace("−", "-")
    ms, mv = re.search(r"(\d+) ms.*?(-?[\d.]+) mV", said).groups()
    return int(ms), float(mv)


def small_picture(folder):
    """A picture that the server refuses quickly."""
    Image.new("L", (300, 200), 200).save(folder / "small.png")
    return folder / "small.png"


def test_start_says_what_it_is_and_is_not(visit):
    with visit() as page:
        expect(page.locator("#notice")).to_contain_text("Not a medical device")
        expect(page.get_by_role("heading", name="What it cannot tell")).to_be_visible()
        expect(page.locator("#privacy")).to_contain_text("keeps what it reads")
        expect(page.locator("#samples img")).to_have_count(6)
        for picture in page.locator("#samples img").all():
            assert picture.evaluate("async (img) => { await img.decode(); return img.naturalWidth; }") > 1000


def test_the_page_speaks_the_language_of_the_browser_or_the_one_chosen(visit):
    with visit(locale="de-AT") as page:
        expect(page.get_by_role("heading", name="Was es nicht sagen kann")).to_be_visible()
        expect(page.locator("#notice")).to_contain_text("Kein Medizinprodukt")
        assert page.locator("html").get_attribute("lang") == "de"
        page.locator("#language").select_option("ar")
        expect(page.get_by_role("heading", name="ما لا يستطيع قوله")).to_be_visible()
        assert page.locator("html").get_attribute("dir") == "rtl"
    with visit(locale="sv-SE") as page:
        expect(page.get_by_role("heading", name="What it cannot tell")).to_be_visible()


def test_each_ecg_of_a_picture_has_its_own_tile(visit, tmp_path):
    with Image.open(SINUS) as one, Image.open(BLOCK) as other:
        both = Image.new("RGB", (max(one.width, other.width), one.height + other.height), "white")
        both.paste(one, (0, 0))
        both.paste(other, (0, one.height))
        both.save(tmp_path / "both.png")
    with visit() as page:
        choose(page, tmp_path / "both.png")
        expect(page.locator("#pages li.read .title")).to_have_text(["both.png (ECG 1)", "both.png (ECG 2)"])
        rates = []
        for tile in page.locator("#pages li .open").all():
            tile.click()
            page.locator("article.read").wait_for()
            rates.append(page.locator(".measurements tbody tr").nth(0).inner_text())
            with page.expect_download() as saved:
                page.locator("[data-leads=csv]").click()
            assert saved.value.suggested_filename == ("ecg.csv" if len(rates) == 1 else "ecg-2.csv")
        assert rates[0] != rates[1]


def test_several_files_are_read_and_compared(visit):
    with visit() as page:
        choose(page, SINUS, BLOCK)
        expect(page.locator("#pages li")).to_have_count(2)
        expect(page.locator("#pages li.read")).to_have_count(2)
        page.get_by_role("button", name="Compare").click()
        rows = {
            row.locator("th").inner_text(): row.locator("td").all_inner_texts()
            for row in page.locator("tbody tr").all()
        }
        assert rows["Heart rate"][0] == "68 bpm"
        first, second = (int(text.split()[0]) for text in rows["QRS duration"][:2])
        assert rows["QRS duration"][2] == f"+{second - first} ms"
        assert rows["Atrial fibrillation"] == ["found, 97%", "found, 97%", "same"]

        page.locator("[data-do=in]").first.click()  # both pictures move
        widths = [picture.bounding_box()["width"] for picture in page.locator(".picture").all()]
        stages = [stage.bounding_box()["width"] for stage in page.locator(".stage").all()]
        assert [w / s for w, s in zip(widths, stages)] == pytest.approx([1.5, 1.5], rel=0.1)

        page.get_by_role("button", name="Close").click()
        page.locator("#pages .close").first.click()
        expect(page.locator("#pages li")).to_have_count(1)
        expect(page.locator("#compare-open")).to_be_hidden()


def test_drop_and_paste(visit, tmp_path):
    give = """async ({kind, data}) => {
      const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], `${kind}.png`, {type: "image/png"}));
      const about = {bubbles: true, cancelable: true};
      if (kind === "paste") {
        document.dispatchEvent(new ClipboardEvent("paste", {...about, clipboardData: transfer}));
      } else {
        window.dispatchEvent(new DragEvent("dragenter", {...about, dataTransfer: transfer}));
        const veiled = !document.getElementById("veil").hidden;
        window.dispatchEvent(new DragEvent("drop", {...about, dataTransfer: transfer}));
        return veiled && document.getElementById("veil").hidden;
      }
    }"""
    data = base64.b64encode(small_picture(tmp_path).read_bytes()).decode()
    with visit() as page:
        assert page.evaluate(give, {"kind": "drop", "data": data})
        titles = page.locator("#pages .title")
        expect(titles).to_have_text(["drop.png"])  # two at once come in any order
        page.evaluate(give, {"kind": "paste", "data": data})
        expect(titles).to_have_text(["drop.png", "paste.png"])
        expect(page.locator("#pages li.failed")).to_have_count(2)
        expect(page.locator(".refusal .message")).to_contain_text("too few to read an ECG")


def test_a_refusal_is_in_the_language_of_the_page(visit, tmp_path):
    """It was English whatever the language; what the server said exactly stands below."""
    with visit(locale="de-DE") as page:
        choose(page, small_picture(tmp_path))
        message = page.locator(".refusal .message")
        expect(message).to_have_text("Das Bild ist zu klein, um ein EKG zu lesen.")
        expect(page.locator(".refusal .said")).to_contain_text("too few to read an ECG")


def test_a_file_that_comes_before_the_words_of_the_page_waits_for_them(browser, address, tmp_path):
    """It was lost: nobody took it in before the texts of the language had come."""
    context = browser.new_context(reduced_motion="reduce", locale="de-DE", service_workers="block")
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    held = []
    page.route("**/texts/de.json", lambda route: held.append(route))
    try:
        page.goto(address)
        choose(page, small_picture(tmp_path))
        assert len(held) == 1
        expect(page.locator("#pages li")).to_have_count(0)
        held[0].continue_()
        expect(page.locator(".refusal .message")).to_have_text("Das Bild ist zu klein, um ein EKG zu lesen.")
    finally:
        context.close()


def test_photograph_that_is_no_ecg_is_refused(visit):
    with visit() as page:
        page.get_by_role("button", name="Take a photo").click()
        page.locator("video").evaluate(
            "video => new Promise((done) => { video.oncanplay = done; if (video.readyState > 2) done(); })"
        )
        expect(page.locator("#aim")).to_contain_text("No ECG paper is seen")
        page.get_by_role("button", name="Take it").click()  # Chromium's pretended camera shows a green disc
        expect(page.get_by_role("heading", name="I see no 12-lead ECG here")).to_be_visible()
        expect(page.locator(".refusal")).to_contain_text("Show the whole page")
        page.get_by_role("button", name="Remove", exact=True).click()
        expect(page.get_by_role("heading", name="Show me an ECG page")).to_be_visible()


def test_pages_of_a_pdf(visit, tmp_path):
    first, second = Image.open(SINUS).convert("RGB"), Image.open(BLOCK).convert("RGB")
    first.save(tmp_path / "two.pdf", save_all=True, append_images=[second])
    with visit() as page:
        choose(page, tmp_path / "two.pdf")
        expect(page.locator("#pages li.read")).to_have_count(2)
        expect(page.locator("#pages .title")).to_have_text(["two.pdf, page 1", "two.pdf, page 2"])
        shown = page.locator(".picture")
        assert shown.evaluate(
            "async (img) => { await img.decode(); return img.naturalWidth > img.naturalHeight; }"
        )


def test_findings_and_measurements(opened):
    page = opened
    found = page.locator(".found li")
    expect(found).to_have_count(1)
    expect(found).to_contain_text("Atrial fibrillation")
    expect(found.locator(".percent")).to_have_text("97%")
    bar = found.locator(".meter").bounding_box()
    fill, mark = (found.locator(f".{name}").bounding_box() for name in ("fill", "mark"))
    assert fill["width"] / bar["width"] == pytest.approx(0.97, abs=0.01)
    assert (mark["x"] - bar["x"]) / bar["width"] == pytest.approx(0.5, abs=0.01)
    page.locator(".findings summary").click()
    expect(page.locator(".other li")).to_have_count(24)
    page.locator(".findings summary").click()

    rows = {row.locator("th").inner_text(): row for row in page.locator(".measurements tbody tr").all()}
    expect(rows["Heart rate"]).to_contain_text("68 bpm")
    expect(rows["Heart rate"]).to_contain_text("60 to 100 bpm")
    expect(page.locator(".cannot")).to_contain_text("Anything that is not among those findings")


def test_a_borderline_number_is_called_so_on_a_phone_too(visit, answers):
    """The table said "high" where the report said "borderline"."""
    numbers = {**answers[SINUS]["measurements"], "qtc_ms": 467.0}
    with visit(locale="de-DE", viewport={"width": 360, "height": 740}) as page:
        replay(page, {**answers[SINUS], "measurements": numbers, "borderline": ["qtc_ms"]})
        choose(page, SINUS)
        expect(page.locator(".measurements .flag")).to_have_text(["grenzwertig"])
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_layers_lie_on_the_picture(opened):
    page, overlay = opened, opened.read["overlay"]
    mesh = overlay["mesh"]
    wanted = {
        "grid": mesh["rows"] + mesh["columns"],
        "leads": 2 * 13,
        "traces": sum(len(trace["lines"]) for trace in overlay["traces"]),
        "beats": len(overlay["beats"]),
        "intervals": len(overlay["intervals"]),
    }
    for name, count in wanted.items():
        button, layer = page.locator(f"[data-layer={name}]"), page.locator(f"g.{name}")
        assert layer.locator("> *").count() == count > 0, name
        for _ in range(2):
            on = button.get_attribute("aria-pressed") == "true"
            assert layer.is_visible() == on
            button.click()
    for zoomed in (False, True):
        if zoomed:
            page.locator("[data-do=in]").click()
        for beat, dot in zip(overlay["beats"][:3], page.locator("g.beats circle").all()):
            box = dot.bounding_box()
            centre = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            assert centre == pytest.approx(on_screen(page, *beat["at"]), abs=0.7)
    page.locator("[data-do=fit]").click()


def test_traces_lie_on_the_ink(opened):
    ink = Image.open(SINUS).convert("L")
    points = [
        point for trace in opened.read["overlay"]["traces"] for line in trace["lines"] for point in line
    ]
    on_paper, on_trace = [], []
    for x, y in points[::7]:
        on_trace.append(min(ink.getpixel((round(x), round(y) + dy)) for dy in (-1, 0, 1)))
        on_paper.append(min(ink.getpixel((round(x), round(y) + 30 + dy)) for dy in (-1, 0, 1)))
    assert sorted(on_trace)[len(on_trace) // 2] < 90 < sorted(on_paper)[len(on_paper) // 2]


def test_caliper_measures_the_paper(opened):
    page = opened
    page.locator("[data-do=caliper]").click()
    ms, _ = spoken(page)  # it starts on the first RR interval
    assert ms == pytest.approx(60_000 / 68, abs=25)
    # 20 mm to the right and 10 mm up, by the scale that the page was drawn at.
    ms, mv = caliper_between(page, (400, 500), (400 + 20 * PX_PER_MM, 500 - 10 * PX_PER_MM))
    assert ms == pytest.approx(800, abs=8)
    assert mv == pytest.approx(1.0, abs=0.02)
    # By keyboard: Shift and an arrow are one millimetre.
    page.get_by_role("slider", name="Caliper, second end").focus()
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    after = spoken(page)
    assert after == (pytest.approx(ms + 40, abs=1), pytest.approx(mv + 0.1, abs=0.011))
    page.locator("[data-do=caliper]").click()
    expect(page.get_by_role("slider", name="Caliper, second end")).to_be_hidden()


def test_caliper_snaps_to_peaks(opened):
    page = opened
    page.locator("[data-do=caliper]").click()
    first, second = [beat["at"] for beat in opened.read["overlay"]["beats"] if beat["rhythm"]][:2]
    caliper_between(page, (400, 500), (500, 500))  # its ends lay on these beats, to be taken hold of there
    x, y = on_screen(page, *first)
    page.mouse.move(x + 5, y + 3)
    page.mouse.down()
    x, y = on_screen(page, *second)
    page.mouse.move(x - 5, y + 4, steps=3)
    page.mouse.up()
    assert spoken(page)[0] == pytest.approx(60_000 / 68, abs=25)
    page.locator("[data-do=caliper]").click()


def test_question_streams_its_words(opened, tmp_path):
    page, seen = opened, tmp_path / "seen"
    log = page.get_by_role("log")
    field = page.get_by_label("Your question")
    field.fill(f"until {seen}")
    field.press("Enter")
    answer = log.locator(".answer").last
    expect(answer).to_contain_text("Atrial")
    assert fakes.WORDS not in answer.inner_text()  # the first word stands there before the others have come
    seen.touch()
    expect(answer).to_contain_text(fakes.WORDS)
    expect(log.locator(".you").last).to_contain_text("until")

    field.fill("endless")
    field.press("Enter")
    expect(log.locator(".answer")).to_have_count(2)
    page.get_by_role("button", name="Stop").click()
    expect(log.locator(".answer").last).to_contain_text("stopped")
    page.get_by_role("button", name="What is the rhythm?").click()
    expect(log.locator(".answer").last).to_contain_text(fakes.WORDS)


def test_report_and_leads_can_be_kept(opened):
    page = opened
    expect(page.locator(".report-text")).to_have_text(fakes.WORDS)
    kept = {}
    for button in page.locator("[data-report], [data-leads]").all():
        with page.expect_download() as download:
            button.click()
        kept[button.inner_text()] = Path(download.value.path()).read_bytes()
    assert kept["PDF"].startswith(b"%PDF-")
    assert json.loads(kept["JSON"])["findings"] == ["AF"]
    assert "DiagnosticReport" in kept["FHIR"].decode()
    assert kept["CSV"].startswith(b"time_s,I,II,III,aVR,aVL,aVF,V1")
    assert kept["WFDB"].startswith(b"PK")
    assert kept["DICOM"][128:132] == b"DICM"


def test_evidence_is_shown_on_the_page(visit, answers):
    overlay = answers[SINUS]["overlay"]
    regions = [{"lead": "II", "outline": overlay["leads"][1]["outline"]}]
    evidence = {"AF": {"text": "No P waves before the QRS.", "regions": regions}}
    with visit() as page:
        replay(page, answers[SINUS] | {"overlay": overlay | {"evidence": evidence}})
        choose(page, SINUS)
        expect(page.locator(".found .why")).to_have_text("No P waves before the QRS.")
        show = page.get_by_role("button", name="Show atrial fibrillation on the page")
        show.click()
        expect(page.locator("g.evidence polygon")).to_have_count(1)
        assert page.locator("g.evidence").is_visible()
        show.click()
        expect(page.locator("g.evidence polygon")).to_have_count(0)
        page.locator("[data-layer=evidence]").click()  # off
        page.locator("[data-layer=evidence]").click()  # on again: shows the first that there is
        expect(show).to_have_attribute("aria-pressed", "true")


def test_busy_server_and_key(visit, answers):
    refusals = [(429, {"Retry-After": "1"}, "busy"), (401, {}, "unauthorized")]
    seen = []
    with visit() as page:

        def refuse_first(route):
            seen.append(route.request.headers.get("authorization"))
            if not refusals:
                route.fulfill(json=answers[SINUS])
                return
            status, headers, code = refusals.pop(0)
            error = {"ok": False, "error": {"code": code, "message": "no"}}
            route.fulfill(status=status, headers=headers, json=error)

        page.route("**/v1/read", refuse_first)
        choose(page, SINUS)
        page.get_by_label("Key", exact=True).fill("secret")
        page.get_by_role("button", name="Use it").click()
        page.locator("article.read").wait_for()
        assert seen == [None, None, "Bearer secret"]


def test_page_is_sent_again_where_the_server_forgot_it(visit, answers):
    with visit() as page:
        replay(page, answers[SINUS] | {"id": "long-gone"})
        choose(page, SINUS)
        with page.expect_response("**/v1/ask") as first:
            page.get_by_role("button", name="What is the rhythm?").click()
        assert first.value.status == 404
        expect(page.get_by_role("log")).to_contain_text(fakes.WORDS)


def test_phone(visit, answers):
    phone = {"width": 390, "height": 844}
    with visit(viewport=phone, has_touch=True, is_mobile=True, device_scale_factor=2) as page:
        fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert page.evaluate(fits)
        expect(page.locator("#camera")).to_have_attribute("capture", "environment")
        replay(page, answers[SINUS])
        page.get_by_role("button", name="Sinus rhythm").tap()
        page.locator("article.read").wait_for()
        assert page.evaluate(fits)
        for button in page.locator(".toolbar button:visible").all():
            assert button.bounding_box()["height"] >= 40
        stage, picture = page.locator(".stage"), page.locator(".picture")
        stage.scroll_into_view_if_needed()
        before = picture.bounding_box()["width"]
        box = stage.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        touch = page.context.new_cdp_session(page)
        for kind, apart in (
            ("touchStart", 20),
            ("touchMove", 40),
            ("touchMove", 70),
            ("touchMove", 100),
            ("touchEnd", 0),
        ):
            points = (
                []
                if kind == "touchEnd"
                else [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
            )
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        assert picture.bounding_box()["width"] > 3 * before
        page.get_by_role("button", name="Show the whole page").tap()
        assert picture.bounding_box()["width"] == pytest.approx(before, rel=0.01)


@pytest.mark.parametrize("language", ["de", "nl", "pt", "ru"])
def test_long_words_fit_a_small_phone(visit, answers, language):
    read = answers[BLOCK]
    answer = "ABNORMAL - Sinusbradykardie mit: Intraventrikulärer Erregungsausbreitungsstörung"
    everything = {**read, "findings": list(read["labels"]), "answer": answer}
    phone = {"width": 320, "height": 640}
    with visit(viewport=phone, has_touch=True, is_mobile=True, locale=language) as page:
        replay(page, everything)
        choose(page, BLOCK)
        page.locator("article.read").wait_for()
        widths = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        assert page.evaluate(widths) == [320, 320]


def test_keyboard_only(visit, answers):
    with visit() as page:
        replay(page, answers[SINUS])

        def tab_to(selector):
            for _ in range(60):
                page.keyboard.press("Tab")
                if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
                    return
            raise AssertionError(f"Tab does not lead to {selector}")

        page.locator("#samples button").first.wait_for()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.keyboard.press("Enter")
        tab_to("#samples button")
        page.keyboard.press("Enter")
        page.locator("article.read").wait_for()
        expect(page.locator("#status")).to_contain_text(fakes.WORDS)  # said to a screen reader

        tab_to(".stage")
        before = page.locator(".picture").bounding_box()
        page.keyboard.press("+")
        page.keyboard.press("ArrowRight")
        after = page.locator(".picture").bounding_box()
        assert after["width"] == pytest.approx(1.25 * before["width"], rel=0.01)
        page.keyboard.press("1")
        assert page.locator("g.grid").is_visible()
        page.keyboard.press("c")
        tab_to(".handle")
        ms = spoken(page)[0]
        for _ in range(5):
            page.keyboard.press("ArrowLeft")
        assert spoken(page)[0] == pytest.approx(ms + 40, abs=1)

        tab_to("input[name=question]")
        page.keyboard.type("What is the rhythm?")
        page.keyboard.press("Enter")
        expect(page.get_by_role("log")).to_contain_text(fakes.WORDS)


def test_bright_and_dark(visit):
    brightness = """getComputedStyle(document.body).backgroundColor.match(/\\d+/g)
      .reduce((sum, part) => sum + Number(part) / 3, 0)"""
    with visit(color_scheme="dark") as page:
        assert page.evaluate(brightness) < 40
        page.get_by_role("button", name="Switch between bright and dark").click()
        assert page.evaluate(brightness) > 220
        page.reload()  # what was chosen stays
        assert page.evaluate(brightness) > 220
    with visit(color_scheme="light") as page:
        assert page.evaluate(brightness) > 220


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit, answers, scheme, tmp_path):
    axe = pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python (extra dev)")
    # The drawing over the picture is no text, hidden from screen readers and has thousands of parts.
    options = {"runOnly": ["color-contrast"]} if scheme == "dark" else {}
    with visit(color_scheme=scheme) as page:
        page.evaluate(Path(axe.__path__[0], "axe.min.js").read_text(encoding="utf-8"))

        def check():
            found = page.evaluate(
                "async (o) => (await axe.run({exclude: ['.sheet']}, o)).violations", options
            )
            grave = [v for v in found if v["impact"] in ("serious", "critical")]
            assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in grave] == []

        check()
        replay(page, answers[SINUS], answers[BLOCK])
        choose(page, SINUS, BLOCK)
        expect(page.locator("#pages li.read")).to_have_count(2)
        page.locator(".read .findings summary").click()
        page.locator("[data-do=caliper]").click()
        page.get_by_role("button", name="What is the rhythm?").click()
        expect(page.get_by_role("log")).to_contain_text(fakes.WORDS)
        check()
        page.get_by_role("button", name="Compare").click()
        check()
        choose(page, small_picture(tmp_path))
        expect(page.locator(".refusal")).to_be_visible()
        check()


def test_correction_is_kept_and_a_page_deleted(opened, store):
    page, key = opened, opened.read["id"]
    card = page.get_by_role("region", name="Correction")
    card.locator("summary").click()
    expect(card.get_by_label("Atrial fibrillation")).to_be_checked()
    card.get_by_label("Atrial fibrillation").uncheck()
    card.get_by_label("Sinus rhythm", exact=True).check()
    card.get_by_role("button", name="Save").click()
    expect(card.get_by_role("status")).to_contain_text("Kept")
    assert [said["labels"] for said in store.get(key, "")["corrections"]] == [["SR"]]
    card.get_by_role("button", name="Delete from the server").click()
    expect(card.get_by_role("status")).to_contain_text("no longer")
    assert store.get(key, "") is None


@pytest.mark.skipif(
    "ECGVLM_SCREENSHOTS" not in os.environ, reason="only where ECGVLM_SCREENSHOTS asks for them"
)
def test_screenshots(browser):
    """Pictures for the README: a simulated page, read by the shipped model."""
    from ecgvlm.serve.work import default_reader

    folder = ROOT / "docs/images"
    folder.mkdir(parents=True, exist_ok=True)
    desktop = {"viewport": {"width": 1440, "height": 1000}}
    phone = {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "is_mobile": True,
        "has_touch": True,
    }
    with running(default_reader) as address:
        for name, sample, options in (
            ("web_desktop", "Left bundle branch block", desktop),
            ("web_phone", "Atrial fibrillation", phone),
        ):
            context = browser.new_context(reduced_motion="reduce", **options)
            context.set_default_timeout(PATIENCE)
            page = context.new_page()
            page.goto(address)
            page.get_by_role("button", name=sample).click()
            page.locator("article.read").wait_for()
            if name == "web_desktop":
                if page.locator("[data-layer=evidence]").is_visible():
                    page.locator("[data-layer=evidence]").click()
                page.locator("[data-layer=intervals]").click()
                page.locator("[data-do=caliper]").click()
                page.mouse.move(0, 0)
            page.screenshot(path=folder / f"{name}.jpg", type="jpeg", quality=85)
            context.close()
