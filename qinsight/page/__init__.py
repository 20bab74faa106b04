"""The Gradio page: tabs around one model."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from qinsight.page.about_tab import about_text, headline
from qinsight.page.api import Api
from qinsight.page.assess_tab import AssessTab
from qinsight.page.background import loopback
from qinsight.page.compare_tab import CompareTab
from qinsight.page.gate import Gate
from qinsight.page.host import Host
from qinsight.page.line import LONGEST
from qinsight.page.pictures import CSS, line
from qinsight.page.rank_tab import RankTab
from qinsight.page.tab import Tab
from qinsight.page.uploads import Darkroom, Janitor
from qinsight.requests import Sampling

UPLOADS_LIVE = 3600  # seconds
ICON = Path(__file__).parent / "icon.png"


def build_page(
    host: Host,
    sampling: Sampling | None = None,
    max_pixels: int | None = None,
    darkroom: Darkroom | None = None,
    *,
    local: bool = False,
) -> gr.Blocks:
    """The page around a model; nothing is loaded or launched here.

    `local`: the visitor sits at this computer, and may have its folders ranked where they are.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "1")  # or pandas sums up thousands after each event
    sampling, darkroom = sampling or Sampling(), darkroom or Darkroom()
    with gr.Blocks(
        title="Q-Insight", analytics_enabled=False, delete_cache=(600, UPLOADS_LIVE), fill_width=True
    ) as page:
        gr.Markdown("# Q-Insight", elem_classes="qi-head")
        head = line("headline", "status")
        with gr.Tab("Assess", id="assess"):
            tabs: list[Tab] = [AssessTab(host, darkroom, sampling, max_pixels)]
        with gr.Tab("Compare", id="compare"):
            tabs.append(CompareTab(host, darkroom, sampling, max_pixels))
        with gr.Tab("Rank", id="rank"):
            tabs.append(RankTab(host, sampling, max_pixels, local=local))
        with gr.Tab("About", id="about"):
            about = gr.Markdown(elem_id="about")
        timer = gr.Timer(1.0)

        def tell() -> list[object]:
            return [headline(host)(), about_text(host), gr.Timer(active=host.loading)]

        for event in (page.load, timer.tick):
            event(
                tell,
                None,
                [head, about, timer],
                queue=False,
                show_progress="hidden",
                api_visibility="private",
            )
        for tab in tabs:
            page.unload(tab.left)
        Api(host, darkroom, sampling, max_pixels).publish()
    page.queue(max_size=4 * LONGEST, default_concurrency_limit=4, api_open=False)
    page.model_host = host
    return page


def launch(page: gr.Blocks, hosts: Iterable[str] = (), **where: Any) -> tuple[Any, str, str]:
    """Serve the page; `where` are `gr.Blocks.launch`'s host, port and the like. Returns what it returns.

    A page that listens on this computer only answers to this computer's names and to `hosts`.
    """
    only_here = loopback(where.get("server_name") or "127.0.0.1") and not where.get("share")
    allowed = {*hosts} if hosts or only_here else None
    gate = Middleware(Gate, page=page, line=page.model_host.line, hosts=allowed)
    Janitor(page, UPLOADS_LIVE).start()
    launched: tuple[Any, str, str] = page.launch(
        theme=gr.themes.Default(),  # bundled fonts, and the fewest contrast faults of the built-in themes
        css=CSS,
        favicon_path=ICON,
        pwa=True,
        run_history=False,  # else photos and replies are kept in the visitor's browser
        enable_monitoring=False,
        footer_links=["settings"],
        max_file_size="300mb",
        state_session_capacity=200,
        max_threads=2 * LONGEST + 40,  # everyone in line holds one
        app_kwargs={"middleware": [gate]},
        **where,
    )
    return launched
