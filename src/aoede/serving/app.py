"""The HTTP app: OpenAI's speech API over voices that were loaded before.

Owns the routes, and how a request becomes a job of the right voice's scheduler. Names in a request are looked up in the
voices given here and nowhere else. Reading requests is `reading.py`'s, answering `answers.py`'s, the limits every
request meets `entrance.py`'s, sockets and signals `server.py`'s.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from importlib.metadata import version

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import Scope

from aoede.generation import Voice
from aoede.serving import answers
from aoede.serving.cards import limits_of, voice_cards
from aoede.serving.description import MODEL_ERRORS, SPEECH, describe
from aoede.serving.entrance import BearerToken, BodyLimits, RequestNumbers
from aoede.serving.errors import ApiError, add_error_handlers, retry_after
from aoede.serving.jobs import Job, SpeechJob
from aoede.serving.metrics import Metrics
from aoede.serving.page import mount_page
from aoede.serving.reading import FORM, Asked, media_type, read_speech
from aoede.serving.scheduler import QueueFull, Scheduler, SchedulerClosed
from aoede.serving.schemas import MOST_SEED, Health, ModelCard, ModelList, VoiceList
from aoede.serving.settings import ServerSettings
from aoede.serving.uploads import decode_recording

_DRAINING_SECONDS, _UPLOAD_SECONDS = 10.0, 1.0
_BODY_STALLS = 2
"""A whole body may take as long as so many stalls."""


def create_app(voices: Mapping[str, Voice], settings: ServerSettings | None = None) -> FastAPI:
    """The app; its schedulers start and end with it.

    Args:
        voices: by the name that a request's `model` says; the first is what the page begins with.
        settings: limits, token, page.
    Raises:
        ValueError: no voice.
    """
    if not voices:
        raise ValueError("no voice to serve; name one at least")
    return _App(dict(voices), settings or ServerSettings()).app


class _App:
    """The routes and what they share."""

    def __init__(self, voices: dict[str, Voice], settings: ServerSettings) -> None:
        self.voices, self.settings = voices, settings
        self.schedulers: dict[str, Scheduler] = {}
        self.metrics = Metrics()
        self.created = int(time.time())
        self.is_draining = False
        self.uploads = 0
        self.app = FastAPI(
            title="Aoede",
            version=version("aoede"),
            description="Speech from codec language models, in the form of OpenAI's API.",
            docs_url=None,  # the framework's pages fetch scripts from other origins
            redoc_url=None,
            redirect_slashes=False,
            lifespan=self._lifespan,
        )
        self.app.state.begin_draining = self.begin_draining
        self.app.state.refuse = self.refuse
        self._add_routes()
        add_error_handlers(self.app)
        if settings.page:
            mount_page(self.app)
        describe(self.app, voices, settings)
        # Innermost first.
        self.app.add_middleware(
            BodyLimits,
            most_bytes=self._most_bytes,
            stall_seconds=settings.stall_seconds,
            timeout_seconds=_BODY_STALLS * settings.stall_seconds,
        )
        if settings.token is not None:
            self.app.add_middleware(BearerToken, token=settings.token, is_open=_is_open)
        self.app.add_middleware(RequestNumbers)

    def refuse(self) -> None:
        """Answer new requests with 503 from now on."""
        self.is_draining = True

    def begin_draining(self) -> None:
        """The same, and tell the schedulers; what has begun goes on."""
        self.refuse()
        for scheduler in self.schedulers.values():
            scheduler.drain(0)

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as stack:
            for name, voice in self.voices.items():
                self.schedulers[name] = self._open(name, voice)
                stack.callback(self.schedulers[name].close)
            yield
            # Their threads end after a step of the model at most: that is worth waiting for in a thread.
            await run_in_threadpool(stack.close)

    def _open(self, name: str, voice: Voice) -> Scheduler:
        scheduler = Scheduler(
            voice,
            slots=self.settings.slots,
            queue=self.settings.queue,
            threads=self.settings.threads,
            job_timeout=self.settings.timeout_seconds,
            reader_timeout=self.settings.stall_seconds,
            observer=self.metrics.observer(name),
        )
        self.metrics.watch(name, scheduler)
        return scheduler

    def _most_bytes(self, scope: Scope) -> int:
        kinds = [value.decode("latin-1") for name, value in scope["headers"] if name == b"content-type"]
        is_form = any(media_type(kind) == FORM for kind in kinds)
        return self.settings.max_text_bytes + (self.settings.max_upload_bytes if is_form else 0)

    # -- routes -------------------------------------------------------------------------------------------------

    def _add_routes(self) -> None:
        add = self.app.add_api_route
        add("/v1/audio/speech", self.speech, methods=["POST"], **SPEECH)
        add("/v1/models", self.list_models, response_model=ModelList)
        add("/v1/models/{model}", self.show_model, response_model=ModelCard, responses=MODEL_ERRORS)
        add("/v1/audio/voices", self.list_voices, response_model=VoiceList)
        add("/health", self.health, response_model=Health, responses={503: {"model": Health}})
        add("/metrics", self.show_metrics, response_class=Response, responses={200: {"content": {"text/plain": {}}}})

    async def speech(self, request: Request) -> Response:
        """Say a text."""
        if self.is_draining:
            raise _draining()
        try:
            with self._place(request):
                asked = await read_speech(request, self.settings)
                job, form = await self._submit(asked)
        except ClientDisconnect:  # in the middle of its request
            return Response(status_code=499)
        wanted = asked.request
        try:
            if wanted.stream_format == "sse":
                return await answers.events(request, job, form)
            is_streamed = wanted.stream
            if is_streamed is None:
                is_streamed = wanted.stream_format == "audio" or form.format in ("pcm", "mp3", "opus")
            return await (answers.streamed if is_streamed else answers.whole)(request, job, form)
        except answers.ClientGone:
            return Response(status_code=499)

    async def list_models(self) -> ModelList:
        """The models that are served."""
        return ModelList(data=[self._card(name) for name in self.voices])

    async def show_model(self, model: str) -> ModelCard:
        """One of them."""
        self._voice(model)
        return self._card(model)

    async def list_voices(self) -> VoiceList:
        """Who speaks, and what is allowed."""
        cards = [card for name, voice in self.voices.items() for card in voice_cards(name, voice)]
        return VoiceList(voices=cards, limits=limits_of(self.settings))

    async def health(self) -> Response:
        """Whether requests are taken, and how many there are."""
        models = {}
        for name, scheduler in self.schedulers.items():
            stats = scheduler.stats()
            models[name] = {
                "running": stats.running,
                "slots": stats.slots,
                "queued": stats.queued,
                "queue": stats.queue,
            }
        health = Health(
            status="draining" if self.is_draining else "ok",
            version=self.app.version,
            draining=self.is_draining,
            models=models,
        )
        return JSONResponse(health.model_dump(), 503 if self.is_draining else 200)

    async def show_metrics(self) -> Response:
        """For Prometheus."""
        content, media = self.metrics.render()
        return Response(content, media_type=media)

    # -- a request ----------------------------------------------------------------------------------------------

    @contextmanager
    def _place(self, request: Request) -> Iterator[None]:
        """A place for what a request carries: recordings are large, so that as many come at a time as can speak."""
        if media_type(request.headers.get("content-type", "")) != FORM:
            yield
            return
        if self.uploads >= self.settings.slots:
            words = f"{self.uploads} recordings are on their way, the most at a time"
            raise ApiError(429, words, code="too_many_uploads", headers=retry_after(_UPLOAD_SECONDS))
        self.uploads += 1
        try:
            yield
        finally:
            self.uploads -= 1

    def _card(self, name: str) -> ModelCard:
        return ModelCard(id=name, created=self.created, owned_by="aoede")

    def _voice(self, model: str) -> Voice:
        if model not in self.voices:
            words = f"no model {model[:100]!r} is served here; there is {', '.join(self.voices)}"
            raise ApiError(404, words, code="model_not_found", param="model")
        return self.voices[model]

    async def _submit(self, asked: Asked) -> tuple[Job, answers.Form]:
        wanted = asked.request
        voice = self._voice(wanted.model)
        speaker = wanted.speaker
        cards = voice_cards(wanted.model, voice)
        if speaker is not None and speaker not in [card.id for card in cards]:
            words = (
                f"model {wanted.model!r} has no voice {speaker[:100]!r}; it has {', '.join(card.id for card in cards)}"
            )
            raise ApiError(400, words, code="voice_not_found", param="voice")
        if asked.upload is not None and not cards[0].can_clone:
            words = f"model {wanted.model!r} cannot speak like a recording; use one whose `can_clone` says so"
            raise ApiError(400, words, code="cannot_clone", param="reference")
        if not voice.speakers:
            speaker = None
        try:
            return await run_in_threadpool(self._begin, asked, voice, speaker)
        except QueueFull as error:
            headers = retry_after(error.retry_after_seconds)
            raise ApiError(429, str(error), code="queue_full", headers=headers) from None
        except SchedulerClosed:
            raise _draining() from None

    def _begin(self, asked: Asked, voice: Voice, speaker: str | None) -> tuple[Job, answers.Form]:
        """Decode, plan and queue it; milliseconds of work, and a recording's encoding."""
        wanted, reference = asked.request, None
        if asked.upload is not None:
            seconds = self.settings.max_reference_seconds
            try:
                reference = decode_recording(asked.upload, voice.sample_rate, seconds)
            except ValueError as error:
                raise ApiError(400, str(error), code="invalid_audio", param="reference") from None
        seed = secrets.randbelow(MOST_SEED) if wanted.seed is None else wanted.seed
        try:
            job = self.schedulers[wanted.model].submit(
                SpeechJob(
                    text=wanted.input,
                    speaker=speaker,
                    seed=seed,
                    temperature=wanted.temperature,
                    top_p=wanted.top_p,
                    top_k=wanted.top_k,
                    guidance=wanted.guidance,
                    speed=wanted.speed,
                    reference=reference,
                    reference_text=asked.reference_text,
                )
            )
        except ValueError as error:
            raise ApiError(400, str(error), code="invalid_request") from None
        form = answers.Form(
            format=wanted.response_format,
            who=f"{wanted.model}/{speaker or voice.default_speaker}",
            include=frozenset(wanted.include),
            num_slots=voice.layout.num_slots,
        )
        return job, form


def _is_open(path: str) -> bool:
    """What needs no token: nothing of it says more than that a server is here."""
    return path in ("/", "/health", "/openapi.json") or path.startswith("/page/")


def _draining() -> ApiError:
    headers = {**retry_after(_DRAINING_SECONDS), "Connection": "close"}
    return ApiError(503, "the server is shutting down and takes nothing new", code="draining", headers=headers)
