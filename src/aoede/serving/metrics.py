"""What Prometheus reads: slots and queues as they are, batch sizes, times to the first sound, speed, how requests end.

Owns a registry of its own, so that two apps in one process count apart. Knows nothing of HTTP; the numbers come from
schedulers, as they stand (`watch`) or as they happen (`observer`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aoede.serving.jobs import End, Timings
from aoede.serving.scheduler import Observer, Scheduler

_ROWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
_SECONDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
_FACTORS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 4.0, 8.0)


class Metrics:
    """The figures of one server; every one has the label `voice`, the model that was asked for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._standing = _Standing()
        self.registry.register(self._standing)
        registry, voice = self.registry, ("voice",)
        self.batch = Histogram("aoede_batch_rows", "Rows stepped together.", voice, buckets=_ROWS, registry=registry)
        self.first_audio = Histogram(
            "aoede_first_audio_seconds",
            "From the request to its first samples.",
            voice,
            buckets=_SECONDS,
            registry=registry,
        )
        self.queued = Histogram(
            "aoede_queued_seconds", "Waiting for a slot.", voice, buckets=_SECONDS, registry=registry
        )
        self.rtf = Histogram(
            "aoede_real_time_factor", "Seconds a second of sound took.", voice, buckets=_FACTORS, registry=registry
        )
        self.requests = Counter("aoede_requests", "Requests by their end.", (*voice, "end"), registry=registry)
        self.audio = Counter("aoede_audio_seconds", "Seconds of sound made.", voice, registry=registry)

    def observer(self, name: str) -> Observer:
        """What a scheduler tells of its jobs to."""
        return _VoiceObserver(self, name)

    def watch(self, name: str, scheduler: Scheduler) -> None:
        """Show how a scheduler stands whenever somebody looks."""
        self._standing.schedulers[name] = scheduler

    def render(self) -> tuple[bytes, str]:
        """The text that Prometheus reads, and its media type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


class _VoiceObserver:
    """Counts what happens to one voice's jobs."""

    def __init__(self, metrics: Metrics, name: str) -> None:
        self._metrics, self._name = metrics, name
        self._batch = metrics.batch.labels(name)

    def step(self, rows: int) -> None:
        self._batch.observe(rows)

    def first_audio(self, seconds: float) -> None:
        self._metrics.first_audio.labels(self._name).observe(seconds)

    def ended(self, end: End | Literal["refused"], timings: Timings | None) -> None:
        self._metrics.requests.labels(self._name, end.replace(" ", "_")).inc()
        if timings is None:
            return
        self._metrics.queued.labels(self._name).observe(timings.queued)
        self._metrics.audio.labels(self._name).inc(timings.audio)
        if end == "done" and timings.rtf is not None:
            self._metrics.rtf.labels(self._name).observe(timings.rtf)


class _Standing(Collector):
    """Gauges that are read off the schedulers at the moment they are asked for."""

    def __init__(self) -> None:
        self.schedulers: dict[str, Scheduler] = {}

    def collect(self) -> Iterator[Metric]:
        gauges = {
            "running": GaugeMetricFamily("aoede_rows", "Slots in use: requests that speak.", labels=["voice"]),
            "slots": GaugeMetricFamily("aoede_slots", "Slots there are.", labels=["voice"]),
            "queued": GaugeMetricFamily("aoede_queue", "Requests that wait for a slot.", labels=["voice"]),
            "queue": GaugeMetricFamily("aoede_queue_limit", "The most that may wait.", labels=["voice"]),
        }
        for name, scheduler in self.schedulers.items():
            stats = scheduler.stats()
            for field, gauge in gauges.items():
                gauge.add_metric([name], getattr(stats, field))
        yield from gauges.values()
