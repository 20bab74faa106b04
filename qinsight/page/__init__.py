"""The Gradio page: tabs around one model."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from qinsight.hosts import loopback
from qinsight.page.about_tab import about_text, chip
from qinsight.page.api import Api
from qinsight.page.assess_tab import AssessTab
from qinsight.page.compare_tab import CompareTab
from qinsight.page.desk import HEAD, key_help, language_choice, remember
from qinsight.page.gate import Gate
from qinsight.page.host import Host
from qinsight.page.line import LONGEST
from qinsight.page.loupe import CSS as LOUPE_CSS
from qinsight.page.loupe import Loupes
from qinsight.page.packed import Packed
from qinsight.page.passwords import who_may
from qinsight.page.pictures import CSS, headline
from qinsight.page.rank_tab import RankTab
from qinsight.page.shoot import CSS as SHOOT_CSS
from qinsight.page.tab import AT_ONCE, Tab
from qinsight.page.uploads import Darkroom, Janitor
from qinsight.page.visitors import Visitors
from qinsight.page.words import ENGLISH, I18N, Spoken, Words, label
from qinsight.requests import Sampling

UPLOADS_LIVE = 3600  # seconds
ICON = Path(__file__).parent / "icon.png"


class Page(gr.Blocks):
    """Gradio's page, with the photos that may be looked at through its loupes."""

    loupes: Loupes


def build_page(
    host: Host,
    sampling: Sampling | None = None,
    darkroom: Darkroom | None = None,
    *,
    local: bool = False,
) -> Page:
    """The page around a model; nothing is loaded or launched here.

    `local`: who opens it with the token of `Visitors` may have folders of this computer ranked where they are.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "1")  # or pandas sums up thousands after each event
    sampling, darkroom, spoken = sampling or Sampling(), darkroom or Darkroom(), Spoken()
    loupes = Loupes(darkroom)
    with Page(
        title="Q-Insight", analytics_enabled=False, delete_cache=(600, UPLOADS_LIVE), fill_width=True
    ) as page:
        with gr.Row(elem_classes="qi-top"):
            gr.Markdown("# Q-Insight", elem_classes="qi-head")
            head = headline()
            language = language_choice()
        gr.Markdown(label("purpose"), elem_id="purpose")
        with gr.Tabs(elem_id="tabs") as all_tabs:
            with gr.Tab(label("tab_assess"), id="assess"):
                tabs: list[Tab] = [assess := AssessTab(host, darkroom, sampling, spoken, loupes)]
            with gr.Tab(label("tab_compare"), id="compare"):
                tabs.append(compare := CompareTab(host, darkroom, sampling, spoken, loupes))
            with gr.Tab(label("tab_rank"), id="rank") as rank_tab:
                tabs.append(rank := RankTab(host, sampling, spoken, local=local))
            with gr.Tab(label("tab_about"), id="about"):
                about = gr.Markdown(elem_id="about")
        keys = key_help()
        timer = gr.Timer(1.0)

        def tell(words: Words) -> list[object]:
            return [chip(host, words), about_text(host, words), gr.Timer(active=host.loading)]

        def tick(request: gr.Request) -> list[object]:
            return tell(spoken.words(request))

        def speak(chosen: str, request: gr.Request) -> list[object]:
            words = spoken.choose(request, chosen)
            names = [gr.update(label=words(f"tab_{tab.id}")) for tab in all_tabs.children]
            return [*tell(words), *names, *(value for tab in tabs for _, value in tab.worded(words))]

        told = [head, about, timer]
        # the browser translates no tab that was not opened yet
        worded = [*told, *all_tabs.children, *(part for tab in tabs for part, _ in tab.worded(ENGLISH))]
        # once it is known what answers, and in which language
        sample: dict[str, Any] = {"fn": assess.sampled, "inputs": None, "outputs": assess.outputs, **AT_ONCE}
        timer.tick(tick, None, told, **AT_ONCE).then(**sample)
        elsewhere = gr.Button("", visible="hidden", elem_id="language-elsewhere")  # in Gradio's own settings
        spoken_now = [
            trigger(
                None, None, [language], queue=False, api_visibility="private", js="() => qi.language()"
            ).then(speak, [language], worded, **AT_ONCE)
            for trigger in (page.load, elsewhere.click)
        ]
        chosen = language.input(speak, [language], worded, js="chosen => qi.choose(chosen)", **AT_ONCE)
        for event in (*spoken_now, chosen):
            event.then(rank.headed, None, [rank.news], **AT_ONCE)
            event.then(**sample)
        remember(page, all_tabs, keys)
        rank.resume_with(page.load)
        compare.take_from(rank.to_compare, rank.pair)
        for tab in tabs:
            page.unload(tab.left)
        page.unload(spoken.forget)
        # also when the tab is opened: what was not drawn yet may have missed the news (Gradio 6.31)
        for opened in (page.load, rank_tab.select):
            opened(rank.opened, None, [rank.path, rank.elsewhere, rank.own], **AT_ONCE)
        Api(host, darkroom, sampling).publish()
    page.loupes = loupes
    loupes.elsewhere = rank.lightboxes.path_of
    page.lightboxes = rank.lightboxes  # for the gate, which hands pictures out
    page.queue(max_size=4 * LONGEST, default_concurrency_limit=4, api_open=False)
    # Gradio looks a thousand times a second whether there is something to do, on Windows twenty times.
    page._queue.sleep_when_free, page._queue.progress_update_sleep_when_free = 0.005, 0.1
    return page


def theme() -> gr.themes.Base:
    """Gradio's own around the system's typeface, in greys: colour is for state and the primary action."""
    return gr.themes.Default(
        primary_hue="blue", secondary_hue="blue", neutral_hue="neutral", font=["system-ui", "sans-serif"]
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_900",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
        body_text_color_subdued="*neutral_600",
    )


def launch(
    page: Page,
    host: Host,
    hosts: Iterable[str] = (),
    visitors: Visitors | None = None,
    auth: Iterable[tuple[str, str]] | None = None,
    **where: Any,
) -> tuple[Any, str, str]:
    """Serve the page around a host; `where` are `gr.Blocks.launch`'s host, port and the like. Returns what it returns.

    `auth`: the pairs of name and password that open the page; None where everybody may.

    A page that listens on this computer only answers to this computer's names and to `hosts`.
    """
    os.environ["FORWARDED_ALLOW_IPS"] = ""  # or uvicorn believes every X-Forwarded-For of this computer
    only_here = loopback(where.get("server_name") or "127.0.0.1") and not where.get("share")
    allowed = {*hosts} if hosts or only_here else None
    told = visitors or Visitors()
    gate = Middleware(Gate, page=page, host=host, hosts=allowed, visitors=told, loupes=page.loupes)
    Janitor(page, UPLOADS_LIVE, page.loupes.sweep).start()
    launched: tuple[Any, str, str] = page.launch(
        theme=theme(),
        css=CSS + SHOOT_CSS + LOUPE_CSS,
        head=HEAD,
        i18n=I18N,
        favicon_path=ICON,
        pwa=not where.get("root_path"),  # its manifest names addresses without the path
        ssr_mode=False,  # Spaces would put a Node server in front, which the gate does not know
        run_history=False,  # else photos and replies are kept in the visitor's browser
        enable_monitoring=False,
        footer_links=["settings"],
        max_file_size="300mb",
        state_session_capacity=200,
        max_threads=2 * LONGEST + 40,  # everyone in line holds one
        app_kwargs={"middleware": [gate, Middleware(Packed)]},
        auth=who_may(auth) if auth else None,
        _frontend=False,  # else a page that a busy computer answers after three seconds is refused (Gradio 6.31)
        **where,
    )
    return launched
