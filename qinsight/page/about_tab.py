"""The About tab: which model answers, what it is and is not, and whose work it is."""

import os

from qinsight.check.named import Named
from qinsight.engines.checkpoint import PREVIEW, PUBLISHED
from qinsight.page.host import Host
from qinsight.page.words import ENGLISH, Words
from qinsight.sentence import Sentence


def about_text(host: Host, words: Words = ENGLISH) -> str:
    """The tab's Markdown, as far as it is known."""
    head = f"{words('about_meaning')}\n## {words('about_model')}"
    credit = words("about_credit", published=PUBLISHED)
    about = host.about
    if about is None:
        return f"{head}\n{words.remark(host.status)}\n{credit}"
    facts = [
        words(
            "about_weights",
            model=about.name,
            precision=about.precision,
            device=about.device,
            size=about.memory_bytes / 1e9,
        ),
        words(
            "about_answers", tasks=words("comma").join(words(f"task_{task}") for task in sorted(about.tasks))
        ),
        words("about_size", megapixels=about.max_pixels / 1e6),
    ]
    if host.passport is not None:
        facts.append(_served(host.passport, words))
    if about.preview or about.name == PUBLISHED:
        facts.append(words("about_licence"))
    facts += [words.remark(told) for told in (about.advice, _instead(host)) if told]
    listed = "\n".join(f"- {fact}" for fact in facts)
    card = (
        f"<details><summary>{words('about_card')}</summary>\n\n{_card()}\n\n</details>"
        if about.preview
        else about.note
    )
    return f"{head}\n{listed}\n\n{card}\n\n{credit}"


def _served(passport: Named, words: Words) -> str:
    """What its passport says of how it is served, and of each alarm what that means."""
    if not passport.alarms:
        return words("about_served", date=passport.date)
    meanings = (words.meaning("verdict", name) for name in passport.alarms)
    return words("about_alarms", date=passport.date, alarms=words("comma").join(meanings))


def _card() -> str:
    """The preview's own card, which says what it is, what it is not, and how often it is right."""
    card = PREVIEW / "README.md"
    if not card.exists():
        return ""
    text = card.read_text(encoding="utf-8")
    if text.startswith("---"):
        text = text.split("---", 2)[-1]
    return text.replace("\n## ", "\n### ").replace("\n# ", "\n## ")


def headline(host: Host, words: Words = ENGLISH) -> str:
    """One sentence under the title: what answers here, or what it is waiting for."""
    about = host.about
    if about is None:
        return words.remark(host.status)
    if about.preview:
        key = "preview_headline_space" if "SPACE_ID" in os.environ else "preview_headline"
        said = " ".join(filter(None, [words(key, published=PUBLISHED), words.remark(_instead(host))]))
        return words("gpu_idle", reason=about.idle_gpu, preview=said) if about.idle_gpu else said
    return words("headline", model=about.name, precision=about.precision, device=about.device)


def _instead(host: Host) -> Sentence:
    """What this computer can do with the published weights, where it answers with others."""
    return host.ability.sentence if host.ability else Sentence("")


def chip(host: Host, words: Words = ENGLISH) -> dict[str, str]:
    """The headline as a chip; of the preview its name only, and the rest for those who ask why."""
    said = headline(host, words)
    if host.about and host.about.preview:
        return {"said": words("preview_chip"), "ask": words("why"), "why": said}
    return {"said": said}
