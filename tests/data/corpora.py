"""Small corpora for the tests: noise as recordings, a few texts, and the corpus file that lists them."""

import json
from pathlib import Path

import numpy as np
import yaml

from aoede.data import save_audio

CLIPS = Path(__file__).parent / "clips"


def recordings(folder, count, seed=0, longest=9000):
    """Sound files of noise and their manifest; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, rows = np.random.default_rng(seed), []
    for number in range(count):
        samples = (0.2 * rng.standard_normal(rng.integers(2000, longest))).astype(np.float32)
        save_audio(folder / f"{number:03d}.wav", samples, 24000)
        rows.append(
            {"audio": f"{number:03d}.wav", "id": f"r{number}", "text": f"Text {number}.", "speaker": "ab"[number % 2],
             "split": ["train", "dev"][number % 4 == 3]}
        )  # fmt: skip
    manifest = folder / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


def source(name, path, **values):
    return {"name": name, "kind": "clean-read", "language": "en", "licence": "CC0-1.0", "path": str(path), **values}


def corpus_file(folder, sources, **values):
    """corpus.yaml in `folder`; returns its path."""
    path = folder / "corpus.yaml"
    path.write_text(yaml.safe_dump({"clean": False, "sources": sources, **values}, sort_keys=False))
    return path


def content(folder):
    """Every file below a folder with its bytes, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
