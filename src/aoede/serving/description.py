"""The OpenAPI page: what the routes take and answer, with this server's own names and limits in it.

Owns the description only: what is taken is decided by `reading.py` and `app.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from aoede.generation import Voice
from aoede.serving.cards import voice_cards
from aoede.serving.encoders import MEDIA_TYPES
from aoede.serving.errors import ErrorBody
from aoede.serving.reading import FORM, JSON
from aoede.serving.schemas import CloneForm, SpeechRequest
from aoede.serving.settings import ServerSettings

_WORDS = {
    400: "what is wrong with the request",
    401: "the token is missing or wrong",
    404: "no such model",
    408: "the body did not come in time",
    413: "the body is too large",
    415: "neither JSON nor a form",
    422: "the voice said nothing with this seed",
    429: "all slots are taken and the queue is full; Retry-After says when to come again",
    500: "the server failed",
    503: "the server is shutting down, or has no memory for this request",
    504: "it took too long",
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorBody, "description": _WORDS[status]} for status in statuses}


def _reference(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}


MODEL_ERRORS = _errors(404)
SPEECH: dict[str, Any] = {
    "responses": {
        200: {
            "description": "The sound, or events that carry it.",
            "content": {**dict.fromkeys(MEDIA_TYPES.values(), _BINARY), "text/event-stream": {}},
        },
        **_errors(400, 404, 408, 413, 415, 422, 429, 500, 503, 504),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {JSON: _reference("SpeechRequest"), FORM: _reference("CloneForm")},
        }
    },
}
"""What the framework cannot read off the route, since it takes two kinds of bodies and answers with sound."""


def describe(app: FastAPI, voices: Mapping[str, Voice], settings: ServerSettings) -> None:
    """Give an app its OpenAPI page, which is made when it is first asked for."""

    def page() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _page(app, voices, settings)
        return app.openapi_schema

    app.openapi = page  # type: ignore[method-assign]


def _page(app: FastAPI, voices: Mapping[str, Voice], settings: ServerSettings) -> dict[str, Any]:
    page = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    _, bodies = models_json_schema(
        [(SpeechRequest, "validation"), (CloneForm, "validation")], ref_template="#/components/schemas/{model}"
    )
    schemas = page["components"]["schemas"]
    schemas |= bodies["$defs"]
    speakers = sorted({card.id for name, voice in voices.items() for card in voice_cards(name, voice)})
    for name in ("SpeechRequest", "CloneForm"):
        fields = schemas[name]["properties"]
        fields["model"]["enum"] = list(voices)
        fields["input"]["maxLength"] = settings.max_characters
        for kind in fields["voice"]["anyOf"]:
            if kind.get("type") == "string":
                kind["enum"] = speakers
        for kind in fields["instructions"]["anyOf"]:
            if kind.get("type") == "string":
                kind["maxLength"] = 0
    _without_null(schemas["CloneForm"]["properties"])
    schemas["VoiceName"]["properties"]["id"]["enum"] = speakers
    schemas["CloneForm"]["properties"]["reference_text"]["maxLength"] = settings.max_characters
    # The framework announces its own answer to what it could not validate, which never comes here.
    for path in page["paths"].values():
        for operation in path.values():
            answer = operation["responses"].get("422", {})
            if "HTTPValidationError" in str(answer):
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    if settings.token is not None:
        _lock(page)
    return page


def _without_null(fields: dict[str, Any]) -> None:
    """A form has no null: what is not given is left out."""
    for field in fields.values():
        kinds = field.pop("anyOf", [])
        if field.get("default", ...) is None:
            del field["default"]
        field |= next((kind for kind in kinds if kind.get("type") != "null"), {})


def _lock(page: dict[str, Any]) -> None:
    """Say which routes want the token, and what they answer without."""
    page["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    refused = {"description": _WORDS[401], "content": {JSON: _reference("ErrorBody")}}
    for name, path in page["paths"].items():
        if name == "/health":
            continue
        for operation in path.values():
            operation["security"] = [{"token": []}]
            operation["responses"]["401"] = refused
