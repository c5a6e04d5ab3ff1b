"""The body of a speech request, as JSON or as a form, read and checked.

Owns which bodies the endpoint takes and what is said of the others. Knows nothing of voices. Nothing of a request names
a file: an upload is bytes, and what it is called is not looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect

from aoede.serving.errors import ApiError, invalid_request
from aoede.serving.schemas import CloneForm, SpeechRequest
from aoede.serving.settings import ServerSettings

JSON, FORM = "application/json", "multipart/form-data"
_LISTS = ("include",)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
"""What no text holds; tabs, line ends and form feeds are space."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a client asks for."""

    request: SpeechRequest | CloneForm
    upload: bytes | None = None
    """The recording to speak like, as it came."""

    @property
    def reference_text(self) -> str | None:
        """What is said in it."""
        return self.request.reference_text if isinstance(self.request, CloneForm) else None


def media_type(content_type: str) -> str:
    """The type alone, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


async def read_speech(request: Request, settings: ServerSettings) -> Asked:
    """The body of a speech request.

    Raises:
        ApiError: 400 what is wrong with it, 413 a text or a recording that is too large, 415 another media type.
    """
    kind = media_type(request.headers.get("content-type", ""))
    try:
        if kind == JSON:
            asked = Asked(request=SpeechRequest.model_validate_json(await request.body()))
        elif kind == FORM:
            asked = await _read_form(request, settings)
        else:
            words = f"the body is {kind[:60] or 'of no type'}; send {JSON}, or {FORM} with a recording to speak like"
            raise ApiError(415, words, code="unsupported_media_type")
    except ValidationError as error:
        raise invalid_request(error.errors()) from None
    for name, text in (("input", asked.request.input), ("reference_text", asked.reference_text or "")):
        if len(text) > settings.max_characters:
            words = (
                f"{name} has {len(text):,} characters; this server takes {settings.max_characters:,}: send it in parts"
            )
            raise ApiError(400, words, code="string_above_max_length", param=name)
        if found := _CONTROL.search(text):
            words = f"{name} holds the control character U+{ord(found[0]):04X} at {found.start()}: send plain text"
            raise ApiError(400, words, code="invalid_text", param=name)
    return asked


async def _read_form(request: Request, settings: ServerSettings) -> Asked:
    # Files beyond a megabyte wait in a nameless temporary file, the whole body is bounded by the entrance.
    async with request.form(max_files=1, max_fields=32, max_part_size=settings.max_text_bytes) as form:
        values: dict[str, object] = {}
        for name in form:
            given = form.getlist(name)
            if len(given) > 1 and name not in _LISTS:
                raise ApiError(400, f"{name[:64]} is given {len(given)} times", code="invalid_request", param=name[:64])
            values[name] = given if name in _LISTS else given[0]
        asked = CloneForm.model_validate(values)
        upload = asked.reference
        assert isinstance(upload, UploadFile)
        content = await upload.read(settings.max_upload_bytes + 1)
    if len(content) > settings.max_upload_bytes:
        words = f"reference is larger than {settings.max_upload_mb:g} MB, the most this server takes"
        raise ApiError(413, words, code="file_too_large", param="reference")
    return Asked(request=asked, upload=content)


async def until_gone(request: Request) -> None:
    """Wait until the client has hung up; the body must have been read."""
    while True:
        try:
            message = await request.receive()
        except ClientDisconnect:
            return
        if message["type"] == "http.disconnect":
            return
