"""A page on a GPU that the real `spaces` package borrows from a stand-in of its scheduler; prints what became of each.

Run by test_spaces.py in a process of its own, since importing `spaces` on ZeroGPU changes torch.
"""

import contextlib
import http.server
import json
import os
import sys
import threading
import time
from pathlib import Path

sys.path[:0] = [str(ROOT := Path(__file__).parents[2]), str(ROOT / "tests")]
FREE = {"idle": False, "nvidiaIndex": 0, "nvidiaUUID": "GPU-1", "allowToken": "allowed"}
asked: list[str] = []
mode = "free"


class Scheduler(http.server.BaseHTTPRequestHandler):
    """As the device API of ZeroGPU answers."""

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        asked.append(f"{mode}:{path}")
        if path != "/schedule" or mode == "free":
            self._say(200 if path != "/release" else 204, FREE if path == "/schedule" else {})
        elif mode == "quota":
            self._say(429, {"left": 7, "wait": 2467})
        elif mode == "queue":
            self._queue()
        elif mode == "cut":
            self.close_connection = True
        else:
            self._say({"expired": 401, "outage": 500, "none free": 503}[mode], {})

    def _say(self, status: int, body: object) -> None:
        content = b"" if status == 204 else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _queue(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(300):
                self.wfile.write(b"event: ping\n\n")
                self.wfile.flush()
                time.sleep(0.1)

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    global mode
    scheduler = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Scheduler)
    scheduler.daemon_threads, scheduler.block_on_close = True, False
    threading.Thread(target=scheduler.serve_forever, daemon=True).start()
    api = f"http://127.0.0.1:{scheduler.server_address[1]}"
    os.environ |= {"SPACES_ZERO_GPU": "true", "SPACES_ZERO_DEVICE_API_URL": api, "ZEROGPU_V2": "true"}

    from qinsight.page.zerogpu import AT_ONCE, LentGpu, get_ready

    sys.modules["torch"] = None  # type: ignore[assignment]  # a torch without CUDA it cannot patch: it lends all the same
    get_ready()
    del sys.modules["torch"]
    from qinsight.page import build_page, launch
    from qinsight.page.host import Host
    from qinsight.page.leaving import end_children
    from qinsight.page.recordings import Recordings
    from shared.engines import SCORE, ScriptedEngine

    loads: list[int] = []

    def load(progress: object) -> LentGpu:
        loads.append(1)
        return LentGpu(ScriptedEngine(SCORE))

    host = Host(load, recordings=Recordings(), at_once=AT_ONCE)
    host.load()
    page = build_page(host)
    _, url, _ = launch(page, host, prevent_thread_lock=True, quiet=True)

    import httpx

    photo = ROOT / "examples" / "photos" / "cat.jpg"
    client = httpx.Client(base_url=url + "gradio_api/", timeout=60)

    def ask(**headers: str) -> str:
        """The event of a question about a photo."""
        with photo.open("rb") as file:
            (path,) = client.post("upload", files={"files": ("mine.jpg", file)}).json()
        called = client.post("call/score", json={"data": [{"path": path}]}, headers=headers)
        return str(called.json()["event_id"])

    def told(event: str) -> object:
        lines = client.get(f"call/score/{event}").text.splitlines()
        last = json.loads([line for line in lines if line.startswith("data:")][-1][5:])
        answer = last[0] if isinstance(last, list) else last
        return answer.get("error") or answer["rating"]

    found: dict[str, object] = {}
    token = "head.eyJ1c2VyIjogIm9uZSJ9.signature"
    for mode in ("free", "quota", "expired", "outage", "none free", "cut", "free"):
        found[f"{mode} {len(found)}"] = told(ask(**{"x-ip-token": token}))
    mode = "queue"
    for _ in range(4):
        leaver = httpx.Client(base_url=client.base_url, timeout=60)
        with contextlib.closing(leaver), leaver.stream("GET", f"call/score/{ask()}") as stream:
            next(stream.iter_lines())
            deadline = time.monotonic() + 20
            while asked[-1] != "queue:/schedule" and time.monotonic() < deadline:
                time.sleep(0.05)
        asked.append("hung up")
    deadline = time.monotonic() + 20
    while len(host.line) and time.monotonic() < deadline:
        time.sleep(0.05)
    found["in line after four hung up"] = len(host.line)
    mode = "free"
    found["after them"] = told(ask())
    found["loads"] = len(loads)
    end_children()
    print("FOUND " + json.dumps(found), flush=True)  # noqa: T201
    os._exit(0)


if __name__ == "__main__":
    main()
