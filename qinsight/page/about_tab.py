"""The About tab: which model answers, what it is and is not, and whose work it is."""

from collections.abc import Callable

from qinsight.checkpoint import PREVIEW, PUBLISHED
from qinsight.page.host import Host

CREDIT = f"""
### The method
Q-Insight: Understanding Image Quality via Visual Reinforcement Learning (arXiv 2503.22679, NeurIPS 2025).
The prompts and the published weights ({PUBLISHED}) are theirs, under Apache-2.0; so is this application.

### Your photos
A photo is read on the machine that runs this page, rated there, and deleted an hour after its upload.
Nothing is sent anywhere else. A photo taken on an iPhone reaches a browser as a JPEG copy: what is rated
is that copy.
"""


def about_text(host: Host) -> str:
    """The tab's Markdown, as far as it is known."""
    if host.engine is None:
        return f"### The model\n{host.status}\n{CREDIT}"
    about = host.engine.about
    facts = [
        f"**{about.name}**, {about.precision} on {about.device}, {about.memory_bytes / 1e9:.2f} GB of weights",
        f"answers: {', '.join(sorted(about.tasks))}",
        f"rates a photo at {about.max_pixels / 1e6:.1f} megapixels at most",
    ]
    if about.preview or about.name == PUBLISHED:
        facts.append("licence: Apache-2.0")
    listed = "\n".join(f"- {fact}" for fact in facts)
    return f"### The model\n{listed}\n\n{_card() if about.preview else about.note}\n{CREDIT}"


def _card() -> str:
    """The preview's own card, which says what it is, what it is not, and how often it is right."""
    card = PREVIEW / "README.md"
    if not card.exists():
        return ""
    text = card.read_text(encoding="utf-8")
    if text.startswith("---"):
        text = text.split("---", 2)[-1]
    return text.replace("\n# ", "\n### ").replace("\n## ", "\n#### ")


def headline(host: Host) -> Callable[[], str]:
    """One sentence under the title: what answers here, or what it is waiting for."""

    def words() -> str:
        if host.engine is None:
            return host.status
        about = host.engine.about
        if about.preview:
            return (
                "Preview model: a few million parameters, trained on synthetic degradations; a demonstration, "
                f"not the published weights. With a CUDA GPU, or with --model {PUBLISHED}, the real ones answer."
            )
        return f"{about.name}, {about.precision} on {about.device}."

    return words
