"""The page of the server: its files, read once, and the headers under which a browser may use them.

Owns which files there are and what the page may do (`POLICY`): its own scripts, styles and server, the microphone, and
nothing of another origin. Knows nothing of speech: the page asks the same routes as everybody else.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "media-src blob:",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""Content-Security-Policy: what is not named here, the browser refuses. `blob:` is the recording heard before it is
sent."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Asked again each time, answered from the tag: an upgraded server shows its own page.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, kw_only=True)
class PageFile:
    """One file of the page."""

    content: bytes
    media_type: str
    tag: str
    """ETag, with its quotes."""


def load_page() -> dict[str, PageFile]:
    """The page's files by name, from the package."""
    page: dict[str, PageFile] = {}
    for entry in sorted(files("aoede.serving").joinpath("page").iterdir(), key=lambda entry: entry.name):
        suffix = entry.name[entry.name.rfind(".") :]
        if suffix not in TYPES:
            continue
        content = entry.read_bytes()
        tag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
        page[entry.name] = PageFile(content=content, media_type=TYPES[suffix], tag=tag)
    return page


def mount_page(app: FastAPI) -> None:
    """Serve the page at `/` and its parts at `/page/NAME`, from memory.

    Each part is a route of its own, so that no path of a request is ever looked up anywhere; the page is no part of the
    API's description.
    """
    from starlette.requests import Request
    from starlette.responses import Response

    def add(path: str, file: PageFile) -> None:
        headers = {**HEADERS, "ETag": file.tag}

        async def show(request: Request) -> Response:
            if request.headers.get("if-none-match") == file.tag:
                return Response(status_code=304, headers=headers)
            return Response(file.content, media_type=file.media_type, headers=headers)

        app.add_route(path, show, methods=["GET", "HEAD"], include_in_schema=False)

    for name, file in load_page().items():
        add("/" if name == "index.html" else f"/page/{name}", file)
