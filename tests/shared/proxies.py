"""A proxy in front of a page: nginx where it is installed, else one of our own that does as little."""

import contextlib
import http.client
import http.server
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "host",
    "content-length",
}
CONFIG = """
daemon off; {user} worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; client_max_body_size 300m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; {block} }}
}}
"""
BLOCK = "location {prefix}/ {{ proxy_pass http://127.0.0.1:{page}/; proxy_http_version 1.1; {options} }}"
# else its workers may not write into a folder of ours
USER = "user root;" if hasattr(os, "getuid") and os.getuid() == 0 else ""
UNBUFFERED = "proxy_buffering off;"
FORWARDED = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def proxied(
    page: int, folder: Path, port: int, prefix: str = "", *, buffered: bool = False, forwarded: bool = False
) -> Iterator[str]:
    """The address of a proxy at `port` that serves the page at port `page` below `prefix`."""
    if NGINX is None:
        with _our_own(page, port, prefix, forwarded):
            yield f"http://127.0.0.1:{port}{prefix}"
        return
    options = UNBUFFERED * (not buffered) + FORWARDED * forwarded
    with nginx(BLOCK.format(prefix=prefix, page=page, options=options), port, folder):
        yield f"http://127.0.0.1:{port}{prefix}"


@contextlib.contextmanager
def nginx(block: str, port: int, folder: Path) -> Iterator[None]:
    """An nginx with this block in its server."""
    assert NGINX is not None
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(user=USER, folder=folder, port=port, block=block))
    process = subprocess.Popen([NGINX, "-p", folder, "-c", config], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


@contextlib.contextmanager
def _our_own(page: int, port: int, prefix: str, forwarded: bool) -> Iterator[None]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("content-length", 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            if forwarded:
                said = self.headers.get("x-forwarded-for")
                headers["x-forwarded-for"] = f"{said}, 127.0.0.1" if said else "127.0.0.1"
            upstream = http.client.HTTPConnection("127.0.0.1", page)
            path = self.path.removeprefix(prefix)
            upstream.request(self.command, path, self.rfile.read(length) if length else None, headers)
            answer = upstream.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError), contextlib.closing(upstream):
                while part := answer.read1(65536):
                    self.wfile.write(part)
                    self.wfile.flush()

        do_GET = do_POST = do_HEAD = do_DELETE = do_OPTIONS = handle_any

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
