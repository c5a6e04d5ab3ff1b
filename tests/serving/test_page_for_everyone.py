"""The page can be used: by keyboard, by ear, on a phone, in both themes; and nothing gets in or out of it.

Against a tiny flat voice: what is spoken does not matter here.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from typing import Any

import pytest
from benchmarks.speech_load.server import HOST, ServerProcess

from aoede.serving.page import HEADERS, load_page
from tests.serving.page_driver import TOKEN, Page
from tests.serving.serve_with_faults import TORCH_IN_THE_MIDDLE

PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}


@pytest.fixture
def open_page(browser: Any, page_server: ServerProcess) -> Iterator[Any]:
    """Opens pages, let in by the token; all are closed at the end."""
    opened: list[Page] = []

    def open_one(**context: Any) -> Page:
        page = Page(browser, page_server.port, **context)
        opened.append(page)
        return page.ready()

    yield open_one
    for page in opened:
        page.close()


def answer(port: int, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """A GET, its path sent as it stands."""
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        got = connection.getresponse()
        return got.status, {name.lower(): value for name, value in got.getheaders()}, got.read()
    finally:
        connection.close()


def test_the_files_come_from_memory_under_their_policy_and_nothing_else_is_there(page_server):
    page = load_page()
    for name, file in page.items():
        status, headers, body = answer(page_server.port, "/" if name == "index.html" else f"/page/{name}")
        assert (status, body, headers["content-type"]) == (200, file.content, file.media_type)
        assert all(headers[key.lower()] == value for key, value in HEADERS.items())
    for path in ("/page/../page.py", "/page/%2e%2e/page.py", "/page/", "/page//etc/passwd", "/page/index.html"):
        assert answer(page_server.port, path)[0] == 404, path
    tag = page["app.js"].tag
    assert answer(page_server.port, "/page/app.js", If_None_Match=tag)[::2] == (304, b"")
    assert answer(page_server.port, "/page/app.js", If_None_Match='"old"')[0] == 200


def test_no_file_of_the_page_names_another_origin_or_holds_an_inline_script():
    for name, file in load_page().items():
        text = file.content.decode()
        addresses = set(re.findall(r"https?://[^\s\"')]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not addresses, f"{name} names {addresses}"
        if name.endswith(".html"):
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text)


def test_the_browser_refuses_foreign_scripts_and_foreign_addresses(open_page):
    page = open_page()
    page.value(
        """() => {
          globalThis.refused = [];
          addEventListener("securitypolicyviolation", (event) => refused.push(event.violatedDirective));
          const script = Object.assign(document.createElement("script"), { textContent: "globalThis.evil = 1" });
          document.body.append(script, Object.assign(new Image(), { src: "http://127.0.0.1:9/a.png" }));
          fetch("http://127.0.0.1:9/").catch(() => {});
        }"""
    )
    page.until("refused.length >= 3")
    assert {name.removesuffix("-elem") for name in page.value("refused")} == {"script-src", "connect-src", "img-src"}
    assert page.value("globalThis.evil") is None
    page.asked.clear()  # what was refused is listed too


def test_a_token_is_asked_for_and_kept_for_the_tab(browser, page_server):
    page = Page(browser, page_server.port)
    page.until("!document.getElementById('token-row').hidden")
    assert "token" in page.error and page.value("document.activeElement.id") == "token"
    page.view.fill("#token", "wrong")
    page.view.keyboard.press("Enter")
    page.until("document.getElementById('error').textContent.includes('not this server')")
    page.view.fill("#token", TOKEN)
    page.view.keyboard.press("Enter")
    page.view.wait_for_selector("#speak:enabled")  # not ready(): the row is there until the server has answered
    assert page.error == "" and page.view.is_hidden("#token-row")
    page.view.reload()
    page.ready()
    page.say("Hi.")
    page.until("aoede.stage.take?.end === 'done'")
    page.close()


def test_an_error_in_the_middle_is_told_and_what_came_is_kept(open_page):
    page = open_page()
    page.view.click("#advanced summary")
    page.view.fill("#seed", str(TORCH_IN_THE_MIDDLE))
    page.say("Hi there. Hi again.")
    page.until("aoede.history.takes.length === 1")
    assert "memory" in page.error and "broke off after" in page.view.inner_text("#status")
    assert page.value("aoede.stage.take.end") == "failed" and page.value("aoede.stage.take.seconds") > 0.1
    assert "failed" in page.view.inner_text("#history .quiet")
    page.view.fill("#seed", "-1")
    page.view.click("#speak")
    assert "whole number" in page.error and page.value("document.activeElement.id") == "seed"
    page.view.fill("#seed", "3")
    page.view.click("#speak")
    page.until("aoede.history.takes.length === 2")
    assert page.error == "" and page.view.inner_text("#seed-used") == "3"


def test_everything_is_reached_and_done_by_keys(open_page):
    page = open_page()
    page.view.focus("#text")
    page.view.keyboard.press("Control+a")
    page.view.keyboard.type("Hi there.")
    page.view.keyboard.press("Control+Enter")
    page.until("aoede.stage.take?.end === 'done' && aoede.stage.player.state === 'idle'")
    assert page.value("aoede.stage.take.asked.text") == "Hi there."
    order = []
    page.view.focus("#text")
    for _ in range(11):
        page.view.keyboard.press("Tab")
        order.append(page.value("document.activeElement.id || document.activeElement.localName"))
        outline = page.value("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", f"{order[-1]} does not show that it has the focus"
    assert order[:8] == ["voice", "speak", "summary", "summary", "score", "play", "download", "button"], order
    page.view.focus("#score")
    page.view.keyboard.press("Home")
    assert page.value("aoede.stage.player.position") == 0
    page.view.keyboard.press("ArrowRight")
    assert page.value("aoede.stage.player.position") == pytest.approx(min(0.25, page.value("aoede.stage.take.seconds")))
    assert page.view.get_attribute("#score", "aria-valuetext").startswith("0.")
    page.view.keyboard.press("Home")
    page.view.keyboard.press(" ")
    page.until("aoede.stage.player.position > 0.02")
    page.view.keyboard.press("Escape")
    assert page.value("aoede.stage.player.state") == "idle"


def test_screen_readers_find_a_name_for_everything_that_can_be_used(open_page):
    page = open_page()
    page.view.click("#advanced summary")
    page.view.click("#clone summary")
    page.say("Hi.")
    page.until("aoede.history.takes.length === 1")
    tree = page.context.new_cdp_session(page.view).send("Accessibility.getFullAXTree")["nodes"]
    usable = {"button", "textbox", "slider", "combobox", "spinbutton", "DisclosureTriangle", "switch", "checkbox"}
    nodes = [
        (node["role"]["value"], node["name"]["value"]) for node in tree if node.get("role", {}).get("value") in usable
    ]
    assert {role for role, _ in nodes} >= usable - {"switch", "checkbox"} and len(nodes) >= 15
    assert all(name for _, name in nodes), nodes
    names = [name for role, name in nodes if role == "button"]
    assert len(names) == len(set(names)), f"two buttons of one name: {sorted(names)}"
    assert (
        page.view.get_attribute("#status", "role") == "status" and page.view.get_attribute("#error", "role") == "alert"
    )


# The contrast of each element's text with what is behind it (WCAG 2, relative luminance).
CONTRASTS = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
  };
  const seen = [...document.querySelectorAll("body *")].filter((element) =>
    element.checkVisibility() && !element.disabled &&
    [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()));
  return seen.map((element) => {
    const pair = [light(parse(getComputedStyle(element).color)), light(behind(element))];
    const name = element.id || element.className || element.localName;
    return [(Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05), name];
  });
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_stand_out_in_both_themes(open_page, theme):
    page = open_page(color_scheme=theme)
    page.view.click("#advanced summary")
    page.say("日本語")
    page.until("!document.getElementById('error').hidden")
    contrasts = page.value(CONTRASTS)
    assert len(contrasts) > 20 and min(contrasts)[0] >= 4.5, sorted(contrasts)[:5]
    assert page.value("aoede.stage.colours.theme") == theme


def test_the_theme_can_be_chosen_and_is_remembered(open_page):
    page = open_page(color_scheme="light")
    themes = []
    for _ in range(3):
        page.view.click("#theme")
        themes.append((page.view.inner_text("#theme-name"), page.value("aoede.stage.colours.theme")))
    assert themes == [("Light", "light"), ("Dark", "dark"), ("Auto", "light")]
    page.view.click("#theme")
    page.view.click("#theme")
    page.view.reload()
    page.ready()
    assert page.value("getComputedStyle(document.body).backgroundColor") == "rgb(16, 19, 23)"
    page.view.emulate_media(color_scheme="dark")
    page.view.click("#theme")
    assert page.view.inner_text("#theme-name") == "Auto" and page.value("aoede.stage.colours.theme") == "dark"


def test_a_phone_shows_everything_without_scrolling_sideways_and_fingers_hit_it(open_page):
    page = open_page(**PHONE)
    page.view.tap("#advanced summary")
    page.view.tap("#clone summary")
    page.view.fill("#text", "Hi " + "there " * 9 + "W" * 60)
    page.view.fill("#text", "Hi.")
    page.view.tap("#speak")
    page.until("aoede.history.takes.length === 1")
    assert page.value("document.documentElement.scrollWidth") == 390
    wide = """[...document.querySelectorAll('main *')]
      .filter((e) => e.getBoundingClientRect().right > 390.5).map((e) => e.id)"""
    assert page.value(wide) == []
    small = """[...document.querySelectorAll('button, summary, input, select, textarea')]
      .filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 44).map((e) => e.id || e.textContent)"""
    assert page.value(small) == [], "too low for a finger"


def test_who_wants_no_motion_gets_none(open_page):
    page = open_page(reduced_motion="reduce")
    page.view.click("#clone summary")
    page.view.click("#record")
    page.until("document.getElementById('record').ariaPressed === 'true'")
    assert page.value("document.getAnimations().length") == 0
    page.view.click("#record")
    page.until("!document.getElementById('reference').hidden")
    page.view.click("#reference-remove")
    page.say("Hi.")
    page.until("aoede.stage.take?.ended && !aoede.stage._awake")
    score = page.value("[aoede.stage.score.span, aoede.stage.score._wanted()]")
    assert score[0] == score[1], "the picture glides to its place"
