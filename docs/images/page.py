"""Writes docs/images/page.png: the page of `aoede serve`, in a real browser, in the middle of a sentence.

    python docs/images/page.py [--light] [--phone] [OUT.png]

Needs the extras `serve` and `test` and an installed Chromium. Starts a server of its own on a free port and ends it.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

TEXTS = (
    "Good morning. This sentence came before.",
    "Sing to me, and I will write it down: one frame, then the next, until the song is over.",
)
DESK = {"viewport": {"width": 1120, "height": 1080}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path(__file__).with_suffix(".png"))
    parser.add_argument("--light", action="store_true", help="the light theme")
    parser.add_argument("--phone", action="store_true", help="390 x 844")
    args = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no chromium: install it (Debian: apt-get install chromium)")
    server = subprocess.Popen(
        [sys.executable, "-m", "aoede.cli.main", "serve", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        address = next(found[0] for line in server.stdout if (found := re.search(r"http://[\d.]+:\d+", line)))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            scheme = {"color_scheme": "light" if args.light else "dark"}
            shoot(browser.new_page(**(PHONE if args.phone else DESK), **scheme), address, args.out)
            browser.close()
    finally:
        server.terminate()
        server.wait()
    print(f"{args.out}  {args.out.stat().st_size / 1000:.0f} kB")


def shoot(page: Any, address: str, out: Path) -> None:
    """Say two texts and halt in the second."""
    page.goto(address)
    page.wait_for_selector("#speak:enabled")
    for text in TEXTS:
        page.fill("#text", text)
        page.click("#speak")
        wait(page, "aoede.stage.take?.ended && aoede.stage.player.state === 'idle'")
    page.click("#play")
    wait(page, "aoede.stage.player.state === 'playing'")
    page.evaluate("(aoede.stage.seek(0.52 * aoede.stage.take.seconds), aoede.stage.toggle())")
    page.mouse.move(0, 0)
    page.wait_for_timeout(500)
    page.screenshot(path=out, full_page=True)


def wait(page: Any, script: str, seconds: float = 120.0) -> None:
    """Until an expression holds; the page's policy forbids Playwright's own way, which needs eval."""
    ends = time.monotonic() + seconds
    while not page.evaluate(script):
        if time.monotonic() > ends:
            sys.exit(f"not so after {seconds:g} s: {script}")
        page.wait_for_timeout(50)


if __name__ == "__main__":
    main()
