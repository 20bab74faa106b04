"""What examples/deploy says is what works: its nginx block, its unit's command, the kit of a Space."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from packaging.requirements import Requirement
from PIL import Image

from qinsight.page.visitors import Visitors, trusted
from shared.engines import SCORE, PatientEngine
from shared.pages import TOKEN, served_at_a_port, use
from shared.places import REPOSITORY
from shared.program import App
from shared.proxies import NGINX, free_port, nginx

DEPLOY = REPOSITORY / "examples" / "deploy"


@pytest.mark.browser
@pytest.mark.skipif(NGINX is None, reason="no nginx on this machine")
def test_the_nginx_block_serves_page_and_api_below_its_path(
    visit: Callable[..., Any],
    photo: Path,
    tmp_path: Path,
) -> None:
    engine = PatientEngine(SCORE, ["<think>on ", *["and on "] * 1000])
    front = free_port()
    url = f"http://localhost:{front}/q-insight"
    options: dict[str, Any] = {"root_path": url, "hosts": ["localhost"]}
    visitors = Visitors(trusted(["127.0.0.1"]), token=TOKEN)
    with served_at_a_port(engine, visitors=visitors, **options) as (port, *_):
        block = (DEPLOY / "nginx.conf").read_text().replace(":7860/", f":{port}/")
        with nginx(block, front, tmp_path):
            use(visit(url + "/"), photo, engine)
            assert httpx.get(f"{url}/healthz").json() == {"status": "ready"}
            calls = {call for call in httpx.get(f"{url}/gradio_api/info").json()["named_endpoints"]}
            assert {"/score", "/diagnose", "/compare", "/rank"} <= calls


def test_the_units_and_the_images_flags_are_known_and_the_page_starts_with_them(tmp_path: Path) -> None:
    unit = (DEPLOY / "q-insight.service").read_text().replace("\\\n", " ")
    command = re.search(r"ExecStart=\S+ app.py (.*)", unit)
    image = re.search(r'CMD \["python", "app.py", (.*)\]', (DEPLOY / "Dockerfile").read_text())
    assert command
    assert image
    for flags in (shlex.split(command[1]), shlex.split(image[1].replace(",", " "))):
        place = flags.index("--port")
        folder = tmp_path / f"flags{len(flags)}"
        folder.mkdir()
        page = App(folder, *flags[:place], *flags[place + 2 :]).ready()
        assert "token" not in page.end(15)
        assert page.process.returncode == 0


def test_a_space_gets_what_a_demo_needs_and_starts_with_it(tmp_path: Path) -> None:
    kit = tmp_path / "kit"
    subprocess.run([sys.executable, DEPLOY / "space.py", "--only", kit], check=True, capture_output=True)
    names = {path.name for path in kit.iterdir()}
    assert names == {"app.py", "qinsight", "examples", "README.md", "LICENSE", "requirements.txt"}
    lines = (kit / "requirements.txt").read_text().splitlines()
    wanted = {
        found.name: found.specifier for found in (Requirement(line.partition("#")[0]) for line in lines)
    }
    assert not {"trl", "datasets", "scipy"} & set(wanted)
    for version, held in {"2.9.1": True, "2.10.0": True, "2.11.0": True, "2.12.0": False}.items():
        assert (version in wanted["torch"]) is held
    front = (kit / "README.md").read_text().split("---")[1]
    told = dict(line.split(": ", 1) for line in front.strip().splitlines())
    assert {"sdk", "sdk_version", "app_file", "license", "suggested_hardware", "tags"} <= set(told)
    assert told["sdk_version"] in wanted["gradio"]
    code = "import app; options = app._parser().parse_args([]); print(options.model)"
    run = subprocess.run([sys.executable, "-c", code], cwd=kit, capture_output=True, text=True, check=True)
    assert run.stdout == "auto\n"
    score = [sys.executable, "-m", "qinsight", "score", "examples/photos/cat.jpg", "--model", "preview"]
    assert subprocess.run(score, cwd=kit, capture_output=True, check=True).stdout


def test_a_kit_is_never_written_over_something(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "mine.png")
    command = [sys.executable, DEPLOY / "space.py", "--only", tmp_path]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "Expected an empty folder" in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]
