"""`app.py` as a process of its own, with an engine that takes its time."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
from PIL import Image

from shared.places import REPOSITORY
from shared.proxies import free_port

START = """
import os, sys
sys.path[:0] = [".", "tests"]
import app

def slow(options, progress):
    from shared.engines import SCORE, PatientEngine
    return PatientEngine([*SCORE[:2], *["and "] * 20, *SCORE[2:]])

app.open_engine = slow
code = app.main()
sys.stdout.flush()
os._exit(code)
"""


class App:
    """`app.py` with an engine that takes two seconds, in a folder for temporary files of its own."""

    def __init__(self, folder: Path, *flags: str, **variables: str) -> None:
        self.port, self.folder = free_port(), folder
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, "--no-browser", "--port", str(self.port), *flags],
            env={**os.environ, "TMPDIR": str(folder), "GRADIO_TEMP_DIR": "", **variables},
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )

    def ready(self) -> "App":
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                if self.http.get("/healthz").status_code == 200:
                    return self
            assert self.process.poll() is None, self.process.stdout.read()  # type: ignore[union-attr]
            time.sleep(0.05)
        raise AssertionError("the page did not become ready")

    def upload(self) -> str:
        photo = self.folder.parent / "photo.png"
        Image.linear_gradient("L").resize((1200, 900)).convert("RGB").save(photo)
        with photo.open("rb") as file:
            (path,) = self.http.post("/gradio_api/upload", files={"files": file}).json()
        return str(path)

    def ask(self, path: str, name: str = "score") -> httpx.Response:
        return self.http.post(f"/gradio_api/call/{name}", json={"data": [{"path": path}]})

    def end(self, number: int, seconds: float = 30) -> str:
        self.process.send_signal(number)
        return self.process.communicate(timeout=seconds)[0]

    def family(self) -> list[str]:
        """The processes of its session, itself included."""
        found = subprocess.run(
            ["ps", "-o", "pid=,stat=,args=", "-g", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        return [
            line for line in found.stdout.splitlines() if line.split()[1][0] != "Z"
        ]  # dead, not yet buried

    def left(self) -> list[Path]:
        return [*self.folder.glob("qinsight-*"), *self.folder.glob("tmp*"), *self.folder.glob("gradio*")]
