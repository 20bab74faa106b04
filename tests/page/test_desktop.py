"""The page as a program on the desk: languages, memory, keys, focus, voice, taking an answer home, axe."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qinsight.answers import Distortion
from qinsight.page.desk import SCRIPT
from qinsight.page.loupe import CSS as LOUPE_CSS
from qinsight.page.pictures import CSS
from qinsight.page.shoot import CSS as SHOOT_CSS
from qinsight.page.words import Language
from shared.axe import violations
from shared.engines import A_FIRST, B_FIRST, DIAGNOSIS, SCORE, PatientEngine, PixelEngine, ScriptedEngine
from shared.pages import eventually, served, shows, upload
from shared.pictures import photo_file

TABS = ("Assess", "Compare", "Shoot", "About")
STORED = "JSON.stringify([{...localStorage}, {...sessionStorage}])"

pytestmark = pytest.mark.browser


def open_tab(page: Any, place: int) -> None:
    page.get_by_role("tab").nth(place).click()
    page.wait_for_function(
        "place => document.querySelectorAll('[role=tab]')[place].getAttribute('aria-selected') === 'true'",
        arg=place,
    )


def settled(page: Any) -> None:
    """The answer is there and the buttons are back."""
    page.wait_for_function("!document.querySelector('#assess').disabled")


# --- languages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locale", "lang", "tabs", "button", "diagnosis", "header"),
    [
        ("zh-CN", "zh-CN", ["评估", "对比", "选片", "关于"], "评估", "明显模糊", "失真类型"),
        ("ja-JP", "ja", ["評価", "比較", "選別", "概要"], "評価する", "明らかなぼけ", "劣化"),
        ("zh-Hans-SG", "zh-CN", ["评估", "对比", "选片", "关于"], "评估", "明显模糊", "失真类型"),
        ("fr-FR", "en", ["Assess", "Compare", "Shoot", "About"], "Assess", "Obvious blur", "degradation"),
    ],
)
def test_the_page_speaks_the_browsers_language(
    visit: Callable[..., Any],
    locale: str,
    lang: str,
    tabs: list[str],
    button: str,
    diagnosis: str,
    header: str,
) -> None:
    with served(ScriptedEngine(SCORE, DIAGNOSIS)) as url:
        page = visit(url, locale=locale, viewport={"width": 390, "height": 844})
        page.wait_for_function("lang => document.documentElement.lang === lang", arg=lang)
        shows(page, "assess", button)
        eventually(lambda: page.get_by_role("tab").all_inner_texts() == tabs)
        page.locator("#examples button").first.click()
        shows(page, "band", diagnosis)
        shows(page, "diagnosis-words", "The edges are soft.")  # the model's own words
        open_tab(page, 2)
        shows(page, "rank-table", header)
        for place in range(4):
            open_tab(page, place)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_chosen_language_holds_at_once_and_when_the_page_is_opened_again(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    with served(ScriptedEngine(SCORE, DIAGNOSIS)) as url:
        page = visit(url)
        shows(page, "examples", "cat blurred")
        page.locator("#language input").click()
        page.get_by_role("option", name="日本語").click()
        shows(page, "assess", "評価する")
        shows(page, "examples", "猫 ぼけ")
        shows(page, "tabs", "選別")
        shows(page, "headline", "で動作")
        page.reload()
        shows(page, "assess", "評価する")
        shows(page, "headline", "で動作")
        assert page.locator("#language input").input_value() == "日本語"
        shows(page, "photo", "ドロップ")  # Gradio's own words too
        (tmp_path / "rubbish.jpg").write_bytes(b"rubbish")
        upload(page, str(tmp_path / "rubbish.jpg"))
        shows(page, "problem", "写真のファイルではありません")
        open_tab(page, 1)
        page.locator("#compare").click()
        shows(page, "compare-problem", "先に写真を 2 枚アップロードしてください。")


def test_a_language_chosen_in_gradios_own_settings_is_followed_by_the_whole_page(
    visit: Callable[..., Any],
) -> None:
    with served(ScriptedEngine(SCORE, DIAGNOSIS)) as url:
        page = visit(url)
        page.locator("footer button.settings").click()
        settings = page.get_by_role("dialog", name="Settings")
        settings.get_by_label("Language").click()
        settings.get_by_role("option", name="日本語").click()
        shows(page, "headline", "で動作")
        shows(page, "examples", "猫 ぼけ")
        page.keyboard.press("Escape")
        assert page.evaluate("JSON.parse(localStorage['q-insight']).language") == "ja"


# --- what is remembered ------------------------------------------------------------------------------------


def test_the_last_settings_are_remembered_and_photos_and_replies_until_the_tab_closes_only(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    name = photo_file(tmp_path, "secret-name.png", Image.new("RGB", (64, 56), (200, 10, 30)))
    with served(ScriptedEngine(SCORE, DIAGNOSIS)) as url:
        page = visit(url)
        upload(page, name)
        shows(page, "gauge", "4.25")
        open_tab(page, 2)
        upload(page, name, "rank-files")
        page.locator("#rank-table [data-slider=low]").fill("3.5")
        page.locator("#rank-table [data-one=name]").click()
        page.reload()
        page.wait_for_function("document.querySelector('#rank-table [data-slider=low]')?.value === '3.5'")
        assert page.locator("#rank-table [data-one=name]").get_attribute("aria-pressed") == "true"
        stored = page.evaluate(STORED)
    local, session = json.loads(stored)
    assert json.loads(local["q-insight"]) == {"tab": "rank", "low": 3.5, "sort": "name"}
    for word in ("secret-name", "Fine detail", "4.25", "uploads"):
        assert word not in json.dumps(local)
    assert {*session} == {
        "q-insight-answered",
        "q-insight-run",
    }  # the film, and a number: until the tab closes


def test_the_browser_is_handed_every_language_and_every_choice_of_the_filter(
    visit: Callable[..., Any],
) -> None:
    """Or a class of distortion that is added would be forgotten there, and nobody told."""
    names = {*Language, *Distortion, "clean"}
    assert not {one for one in names if re.search(rf"""["'`]{one}["'`]""", SCRIPT)} - {Language.ENGLISH}
    with served(ScriptedEngine(SCORE, DIAGNOSIS)) as url:
        page = visit(url)
        for key, values in (("kind", ["all", "clean", *Distortion]), ("language", [*Language])):
            for value in values:
                page.evaluate("change => qi.keep(change)", {key: value})
                assert json.loads(page.evaluate("localStorage['q-insight']"))[key] == value


def test_rubbish_in_the_browsers_memory_and_no_memory_at_all_do_no_harm(visit: Callable[..., Any]) -> None:
    rubbish = {"tab": "<b>", "least": "9", "kind": {"__type__": "update"}, "language": "xx", "keys": 1}
    forbidden = "Object.defineProperty(window, 'localStorage', { get() { throw new Error('forbidden'); } });"
    with served(ScriptedEngine(SCORE, DIAGNOSIS)) as url:
        for script in (f"localStorage['q-insight'] = {json.dumps(json.dumps(rubbish))}", forbidden):
            page = visit(url)
            page.add_init_script(script)
            page.reload()
            shows(page, "headline", "scripted")
            page.locator("#examples button").first.click()
            shows(page, "gauge", "4.25")


# --- keys ----------------------------------------------------------------------------------------------------


def test_examples_are_walked_through_and_asked_about_by_single_keys(visit: Callable[..., Any]) -> None:
    engine = ScriptedEngine(SCORE, DIAGNOSIS)
    with served(engine) as url:
        page = visit(url)
        sizes = []
        for count, key in enumerate(("n", "n", "n", "p", "a"), 1):
            page.keyboard.press(key)
            eventually(lambda count=count: len(engine.asked) == count)  # type: ignore[misc]
            settled(page)
            sizes.append(engine.asked[-1][0][0].photos[0].tobytes()[:3000])
        first, second, third, again, once_more = sizes
        assert first != second != third
        assert again == second == once_more


def test_two_photos_are_chosen_compared_and_swapped_by_single_keys(visit: Callable[..., Any]) -> None:
    engine = ScriptedEngine(A_FIRST, B_FIRST)
    with served(engine) as url:
        page = visit(url)
        open_tab(page, 1)
        page.keyboard.press("n")
        page.locator("#photo-b img").wait_for()
        before = page.locator("#photo-a img").get_attribute("src")
        shows(page, "verdict", "Photo A is better")
        page.keyboard.press("x")
        page.wait_for_function(
            "src => document.querySelector('#photo-b img')?.getAttribute('src') === src", arg=before
        )
        assert len(engine.asked) == 1


def test_the_stop_key_stops_and_keys_are_silent_in_fields_and_when_switched_off(
    visit: Callable[..., Any], photo: Path
) -> None:
    engine = PatientEngine(["<think>on ", *["and on "] * 1000])
    with served(engine, local=True) as url:
        page = visit(url)
        upload(page, photo)
        shows(page, "score-words", "and on")
        page.keyboard.press("Escape")
        shows(page, "status", "Stopped.")
        assert engine.stopped.wait(5)
        settled(page)
        asked = len(engine.asked)
        open_tab(page, 2)
        page.locator("#rank-path textarea, #rank-path input").first.focus()
        page.keyboard.type("a snap in n/p?")
        assert not page.locator("#keys-on").is_visible()
        open_tab(page, 0)
        for chord in ("Control+a", "Alt+n", "Meta+a"):
            page.keyboard.press(chord)
        page.keyboard.press("?")
        page.locator("#keys-on input").wait_for()
        page.locator("#keys-on input").uncheck()
        page.locator("h1").click()
        page.keyboard.press("a")
        page.keyboard.press("n")
        page.reload()
        shows(page, "headline", "scripted")
        page.keyboard.press("n")
        time.sleep(0.5)
        assert len(engine.asked) == asked


# --- focus and voice --------------------------------------------------------------------------------------------


def test_the_focus_goes_from_ask_to_stop_and_back_and_a_held_key_does_not_stop(
    visit: Callable[..., Any], photo: Path
) -> None:
    engine = PatientEngine(SCORE, ["<think>on ", *["on "] * 12, '</think><answer>{"rating": 4.25}</answer>'])
    with served(engine) as url:
        page = visit(url)
        upload(page, photo)
        shows(page, "gauge", "4.25")
        settled(page)
        asked = len(engine.asked)
        page.evaluate("""() => {
            window.lost = 0;
            setInterval(() => { if (document.activeElement === document.body) window.lost += 1; }, 10);
        }""")
        page.locator("#assess").focus()
        page.keyboard.down("Enter")
        page.wait_for_function("document.activeElement.id === 'stop'")
        page.keyboard.up("Enter")
        page.keyboard.press("Enter")  # pressed twice by an unsteady hand
        page.keyboard.down("Enter")
        for _ in range(10):  # held: the browser repeats it
            time.sleep(0.07)
            page.keyboard.down("Enter")
        page.keyboard.up("Enter")
        shows(page, "status", "by scripted")
        page.wait_for_function("document.activeElement.id === 'assess'")
        assert len(engine.asked) == asked + 1
        assert not engine.stopped.is_set()
        assert page.evaluate("window.lost") <= 20  # 0.2 s between disabled and handed over, at the most


def test_every_control_of_every_tab_is_reached_by_the_keyboard_alone(visit: Callable[..., Any]) -> None:
    with served(ScriptedEngine(SCORE, DIAGNOSIS), local=True) as url:
        page = visit(url)
        page.locator("[role=tab]").first.focus()
        for place in range(4):
            wanted = page.evaluate("""() => [...document.querySelectorAll("button, input, textarea")]
                .filter(e => e.offsetParent && !e.disabled && e.type !== "file" && e.tabIndex >= 0)
                .filter(e => e.getAttribute("role") !== "tab")
                .map((e, i) => (e.dataset.probe = String(i)))""")
            reached = set()
            for _ in range(len(wanted) + 30):
                page.keyboard.press("Tab")
                at = page.evaluate("document.activeElement.dataset.probe ?? null")
                if at is not None:
                    reached.add(at)
            assert reached == set(wanted)
            page.evaluate("document.querySelectorAll('[data-probe]').forEach(e => delete e.dataset.probe)")
            if place < 3:
                page.locator("[role=tab][aria-selected=true]").focus()
                page.keyboard.press("ArrowRight")
                page.wait_for_function(
                    "place => document.querySelectorAll('[role=tab]')[place].ariaSelected === 'true'",
                    arg=place + 1,
                )


def test_an_answer_is_said_once_and_a_long_reply_is_no_flood(visit: Callable[..., Any], photo: Path) -> None:
    long = ["<think>on ", *["and on "] * 60, '</think><answer>{"rating": 4.25}</answer>']
    clean = [
        "<think>clean</think><answer>",
        *[" "] * 60,
        '{"distortion_class": "null", "severity": "null"}</answer>',
    ]

    class Both(PatientEngine):
        """Says two different scripts side by side, slowly."""

        def stream(self, requests: Any, *options: Any, **named: Any) -> Any:
            for delta in ScriptedEngine(long, clean).stream(requests):
                time.sleep(0.02)
                yield delta

    with served(Both(long)) as url:
        page = visit(url)
        page.evaluate("""() => {
            window.said = [];
            new MutationObserver(all => all.forEach(one => one.addedNodes.forEach(
                node => node.parentElement?.id === 'voice' && window.said.push(node.textContent)
            ))).observe(document.body, { subtree: true, childList: true });
        }""")
        upload(page, photo)
        shows(page, "gauge", "4.25")
        page.wait_for_function("window.said.some(text => text.includes('by scripted'))")
        said = page.evaluate("window.said")
        page.evaluate("""async () => {  // a ranking tells its pace several times a second
            for (let photo = 0; photo < 40; photo += 1) {
                document.querySelector("#status p").textContent = `${photo} of 40 photos`;
                await new Promise(done => setTimeout(done, 100));
            }
        }""")
        page.wait_for_function("window.said.includes('39 of 40 photos')")
        assert len(page.evaluate("window.said")) <= len(said) + 2
    assert said.count("4.25 of 5: good. No degradation") == 1
    assert len(said) <= 4
    assert not any("and on" in text for text in said)


# --- taking it home -----------------------------------------------------------------------------------------------


def test_a_saved_answer_is_the_json_of_the_command_line_and_a_copied_one_can_be_read(
    visit: Callable[..., Any],
    photo: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from qinsight import __main__ as command_line

    with served(ScriptedEngine(SCORE, DIAGNOSIS)) as url:
        page = visit(url, permissions=["clipboard-read", "clipboard-write"])
        assert not page.locator("#assess-save").is_enabled()
        upload(page, photo)
        shows(page, "gauge", "4.25")
        with page.expect_download() as download:
            page.locator("#assess-save").click()
        assert download.value.suggested_filename == "photo.q-insight.json"
        saved = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
        page.locator("#assess-copy").click()
        page.wait_for_selector(".qi-note:has-text('Copied.')")
        text = page.evaluate("navigator.clipboard.readText()")
    assert "4.25 of 5: good\nObvious blur\nscripted" in text
    assert "Fine detail and little grain." in text
    printed = []
    for command, script in (("score", SCORE), ("diagnose", DIAGNOSIS)):
        engine = ScriptedEngine(script)
        monkeypatch.setattr(command_line, "open_engine", lambda *_, engine=engine: engine)
        command_line.main([command, str(photo), "--check-reasons", "--json"])
        printed.append(json.loads(capsys.readouterr().out))
    for line in [*saved, *printed]:
        line["seconds"] = 0
        assert line.pop("made_by")  # the page asks both questions at once
    for line in printed:
        line["photo"] = Path(line["photo"]).name
    assert saved == printed


def test_a_comparison_is_saved_too_and_a_hostile_reply_comes_home_as_it_is(
    visit: Callable[..., Any], photo: Path
) -> None:
    hostile = "`${window.hacked=1}` </script><img src=x onerror=window.hacked=2> {{value}}"
    replies = [[f"<think>{hostile}</think><answer>Image {letter}</answer>"] for letter in "AB"]
    with served(ScriptedEngine(*replies)) as url:
        page = visit(url)
        open_tab(page, 1)
        for where in ("photo-a", "photo-b"):
            upload(page, photo, where)
            page.locator(f"#{where} img").first.wait_for()
        page.locator("#compare").click()
        shows(page, "verdict", "Photo A is better")
        with page.expect_download() as download:
            page.locator("#compare-save").click()
        saved = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
        assert page.evaluate("window.hacked") is None
    assert saved["winner"] == "Image A"
    assert saved["thinking"] == hostile
    assert saved["photo"] == saved["other"] == "photo.png"


# --- the rest of the promises ----------------------------------------------------------------------------------------


CUES = ["<think>Measured cues: noise 8, detail 2. Grain.</think><answer>", '{"rating": 4.25}', "</answer>"]


@pytest.mark.parametrize(("scheme", "width", "locale"), [("light", 1280, "en-US"), ("dark", 390, "zh-CN")])
def test_axe_finds_no_fault_of_ours_in_any_tab(
    visit: Callable[..., Any], photo: Path, scheme: str, width: int, locale: str
) -> None:
    with served(ScriptedEngine(CUES, DIAGNOSIS), local=True) as url:
        page = visit(url, color_scheme=scheme, viewport={"width": width, "height": 844}, locale=locale)
        assert violations(page) == []
        upload(page, photo)
        shows(page, "gauge", "4.25")
        settled(page)
        time.sleep(0.4)  # the buttons' colours are in transition
        page.keyboard.press("?")
        for what in ("#gauge", "#band", "#cues"):
            page.locator(f"{what} summary").first.click()  # what the term means
        for place in range(4):
            open_tab(page, place)
            if place == 1:
                page.locator("#pairs button").first.click()
                page.locator("#slider img").first.wait_for()
                page.mouse.move(0, 0)
            time.sleep(0.4)
            assert violations(page) == []


def test_a_ranking_that_ran_and_its_table_have_no_fault_of_ours(
    visit: Callable[..., Any], tmp_path: Path
) -> None:
    names = [
        photo_file(tmp_path, f"{shade}.png", Image.new("RGB", (64, 56), (shade,) * 3)) for shade in (250, 20)
    ]
    with served(PixelEngine()) as url:
        page = visit(url, locale="zh-CN")
        open_tab(page, 2)
        upload(page, names, "rank-files")
        shows(page, "rank-files", "250")
        page.locator("#rank").click()
        shows(page, "rank-status", "已评分 2 张照片。")
        shows(page, "rank-table", "期望评分")
        page.wait_for_function("!document.querySelector('#rank').disabled")
        time.sleep(0.4)
        assert violations(page) == []
        page.locator("#language input").click()
        page.get_by_role("option", name="English").click()
        shows(page, "rank-table", "expected")
        shows(page, "rank-table", "250.png")


@pytest.mark.parametrize(("place", "stop", "status"), [(1, "compare-stop", "compare-status")])
def test_stop_works_in_the_compare_tab_on_a_phone_in_the_dark(
    visit: Callable[..., Any], place: int, stop: str, status: str
) -> None:
    engine = PatientEngine(["<think>on ", *["and on "] * 1000])
    with served(engine) as url:
        page = visit(url, color_scheme="dark", viewport={"width": 390, "height": 844}, has_touch=True)
        open_tab(page, place)
        page.locator("#pairs button").first.tap()
        page.locator("#slider img").first.wait_for()
        shows(page, "first-words", "and on")
        page.locator(f"#{stop}").tap()
        shows(page, status, "Stopped.")
        assert engine.stopped.wait(5)
        assert not page.locator("#compare-save").is_enabled()


def test_our_own_script_and_style_are_small_and_ask_nothing_of_anyone() -> None:
    assert (
        len(SCRIPT.encode()) + len(CSS.encode()) + len(LOUPE_CSS.encode()) + len(SHOOT_CSS.encode()) < 100_000
    )
    for own in (SCRIPT, CSS, LOUPE_CSS, SHOOT_CSS):
        assert "http" not in own
        assert "//" not in own.replace("// ", "").replace("//\n", "") or own is SCRIPT
    for forbidden in (
        "eval(",
        "new Function",
        "innerHTML",
        "outerHTML",
        "document.write",
        "XMLHttp",
    ):
        assert forbidden not in SCRIPT
    asked = re.findall(r"fetch\((\W*base)?", SCRIPT)  # of this page's own address
    assert asked
    assert all(asked)


def test_the_script_works_under_a_policy_that_allows_no_other_host(
    visit: Callable[..., Any],
) -> None:
    policy = (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self'; "
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'"  # as much as Gradio itself needs
    )
    with served(ScriptedEngine(SCORE, DIAGNOSIS)) as url:
        page = visit(url)
        page.route(
            url,
            lambda route: route.fulfill(
                response=(answer := route.fetch()),
                headers={**answer.headers, "content-security-policy": policy},
            ),
        )
        refused: list[str] = []
        page.on(
            "console", lambda said: refused.append(said.text) if "Content Security" in said.text else None
        )
        page.reload()
        shows(page, "headline", "scripted")
        page.keyboard.press("n")
        shows(page, "gauge", "4.25")
    assert refused == []


def test_no_script_of_ours_takes_the_name_that_another_gave(visit: Callable[..., Any]) -> None:
    with served(ScriptedEngine(SCORE)) as url:
        page = visit(url)
        page.add_init_script("""
            const assign = Object.assign;
            window.taken = [];
            Object.assign = (to, ...parts) => {
                if (window.qi && to === window.qi)
                    for (const part of parts) window.taken.push(...Object.keys(part).filter(name => name in to));
                return assign(to, ...parts);
            };
        """)
        page.reload()
        page.wait_for_function("window.qi?.shoot")
        assert page.evaluate("taken") == []
