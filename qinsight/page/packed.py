"""The page itself travels compressed; Gradio (6.31) compresses only the files that belong to it."""

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send


class Packed:
    """Around Gradio's app: the page and its description, which are text and large; whatever else passes as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self.packing = app, GZipMiddleware(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        large = scope["type"] == "http" and scope["path"].endswith(("/", "/config"))
        await (self.packing if large else self.app)(scope, receive, send)
