"""`make speak` hands every character of its variables to the program, and says what is missing.

The virtual environment of these tests is ready by its stamps and holds an `aoede` that prints its arguments: what is
tested lies before the program.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

TRICKY = {
    "quotes": """He said: "it's fine", and `left`.""",
    "dollars": "It costs $5 or $$6, $(shell touch hacked), ${HOME} and $",
    "percent": "100% of %s and %%",
    "newlines": "one\ntwo\n\n  three",
    "backslashes": r"a\b \n \\ end\ ",
    "shell words": "a; touch hacked & b | c > d < e # f ! g * ? [x] ~ {y,z}",
    "leading dash": "--output is not an option here",
    "equals": "a=b := c",
    "other scripts": "Привет, çà et là, 你好 🙂",
}


@pytest.fixture
def make(tmp_path):
    """Runs make in the project with the given words and an environment that is ready; returns the finished process."""
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    program = venv / "bin" / "aoede"
    program.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    program.chmod(0o755)
    for stamp in (".ready-speak", ".ready-serve", ".ready-test", ".ready-lint"):
        (venv / stamp).touch()

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        # A make that runs these tests must not pass its own variables on.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        return subprocess.run(
            ["make", "--no-print-directory", "-C", str(ROOT), *words],
            env={**inherited, "VENV": str(venv), **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.mark.parametrize("text", TRICKY.values(), ids=TRICKY.keys())
def test_text_arrives_as_typed_from_the_command_line(make, text):
    done = make("speak", f"TEXT={text}")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["speak", "--output", "speech.wav", "--", text]
    assert not (ROOT / "hacked").exists()


@pytest.mark.parametrize("text", TRICKY.values(), ids=TRICKY.keys())
def test_text_arrives_as_typed_from_the_environment(make, text):
    assert json.loads(make("speak", TEXT=text).stdout)[-1] == text


def test_voice_speaker_seed_and_output_are_passed_on(make):
    done = make("speak", "TEXT=Hi.", "OUT=a b's.flac", "VOICE=my $voice", "SPEAKER=bf_emma", "SEED=3")
    expected = ["--output", "a b's.flac", "--voice", "my $voice", "--speaker", "bf_emma", "--seed", "3"]
    assert json.loads(done.stdout) == ["speak", *expected, "--", "Hi."]


def test_serving_takes_a_port_and_a_voice(make):
    assert json.loads(make("serve").stdout) == ["serve", "--port", "8000"]
    done = make("serve", "PORT=8123", "VOICE=my voice")
    assert json.loads(done.stdout) == ["serve", "--port", "8123", "--voice", "my voice"]


def test_no_text_is_refused_with_an_example_before_anything_is_installed(make, tmp_path):
    done = make("speak", f"VENV={tmp_path}/absent")
    assert done.returncode == 2
    assert 'make speak TEXT="Hello there."' in done.stderr
    assert not (tmp_path / "absent").exists()


def test_a_python_that_cannot_be_used_is_an_error_that_names_it(make, tmp_path):
    done = make("speak", "TEXT=Hi.", f"VENV={tmp_path}/absent", "PYTHON=/no/such/python")
    assert done.returncode == 2
    assert "no Python 3.11 or newer" in done.stderr and "/no/such/python" in done.stderr
    assert not (tmp_path / "absent").exists()


def test_make_alone_lists_the_targets(make):
    done = make()
    assert all(f"make {target}" in done.stdout for target in ("speak", "test", "lint", "bench", "clean", "lock"))


def test_a_further_index_for_torch_is_handed_to_pip(make, tmp_path):
    stamp = f"{tmp_path}/absent/.ready-speak"
    index = "https://download.pytorch.org/whl/cpu"
    assert "extra-index-url" not in make("-n", stamp, f"VENV={tmp_path}/absent").stdout
    done = make("-n", stamp, f"VENV={tmp_path}/absent", f"TORCH_INDEX={index}")
    assert f'--extra-index-url "{index}" --editable .' in done.stdout
