"""How a report looks and behaves in a browser: one style sheet and one script, both written into the page.

Owns nothing but these two texts; which elements there are is `page.py`'s and its sections'. Without the script all is
shown and every player works: it adds the choice of figure, sorting, and listening to versions from the same place.
"""

from aoede.evaluation.charts import palette_css

__all__ = ["SCRIPT", "STYLE"]

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --panel: #f5f6f8; --text: #1b1f24; --quiet: #5b6470; --line: #d9dde3;
  --accent: #1f6fb8; --good: #1d7a46; --bad: #b3372a; --new: #8f5d00; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171b; --panel: #1c2026; --text: #e7eaee; --quiet: #9aa4b1;
  --line: #323943; --accent: #6fb1f0; --good: #63c994; --bad: #ff8f80; --new: #f0b95c; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 3.5rem; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0; background: var(--ground); color: var(--text); font: 15px/1.55 system-ui, sans-serif; }
main, header, nav > div { max-width: 78rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2rem; } h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .4rem; } h3 { font-size: 1rem; margin: 1.6rem 0 .3rem; }
p { margin: .4rem 0; max-width: 52rem; } .quiet, small { color: var(--quiet); } small { font-size: .86em; }
a { color: var(--accent); } :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.skip { position: absolute; left: -99rem; } .skip:focus { left: 1rem; top: .5rem; background: var(--ground);
  padding: .4rem .8rem; z-index: 9; }
nav { position: sticky; top: 0; z-index: 5; background: var(--ground); border-bottom: 1px solid var(--line);
  margin-top: 1rem; }
nav > div { display: flex; gap: 1.2rem; overflow-x: auto; white-space: nowrap; padding-block: .5rem; }
nav a { text-decoration: none; } nav a:hover { text-decoration: underline; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(17rem, 100%), 1fr)); gap: .8rem;
  margin: 1.2rem 0; padding: 0; list-style: none; }
.cards li { background: var(--panel); border-radius: .6rem; padding: .8rem 1rem; border-left: 4px solid currentColor; }
.cards li > * { color: var(--text); } .cards b { font-size: 1.05rem; }
.cards .rate { font-size: 1.5rem; font-weight: 600; }
.cards dl { display: grid; grid-template-columns: auto 1fr; gap: 0 .8rem; margin: .3rem 0 0; font-size: .9em; }
.cards dt { color: var(--quiet); } .cards dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; min-width: 100%; }
td, th { border-bottom: 1px solid var(--line); padding: .35rem 1.1rem .35rem 0; text-align: left;
  vertical-align: top; }
thead th { color: var(--quiet); font-weight: 500; font-size: .9em; white-space: nowrap; }
tbody th { font-weight: 500; position: sticky; left: 0; background: var(--ground); min-width: 9rem; }
@media (min-width: 48rem) { tbody th { white-space: nowrap; } }
td { white-space: nowrap; } td.words { white-space: normal; min-width: 18rem; } td .between { color: var(--quiet);
  font-size: .86em; } td.best > span:first-child { font-weight: 700; } .better { color: var(--good); }
.worse { color: var(--bad); }
th button { all: unset; cursor: pointer; } th button:focus-visible { outline: 2px solid var(--accent); }
th[aria-sort=ascending] button::after { content: " ▲"; } th[aria-sort=descending] button::after { content: " ▼"; }
.bar { display: inline-block; vertical-align: middle; width: 7rem; height: .6rem; border-radius: .3rem;
  background: var(--line); overflow: hidden; margin-right: .6rem; }
.bar i { display: block; height: 100%; background: currentColor; }
svg { width: 100%; min-width: 34rem; max-width: 46rem; display: block; font-size: 12px; }
svg text { fill: var(--text); }
.grid { stroke: var(--line); } .axis { stroke: var(--quiet); } .dot { fill: currentColor; opacity: .35; }
fieldset.pick { border: 0; padding: 0; margin: .8rem 0; display: flex; flex-wrap: wrap; gap: .4rem; }
.pick legend { float: left; padding: .2rem .6rem .2rem 0; color: var(--quiet); }
.pick label { border: 1px solid var(--line); border-radius: 1rem; padding: .15rem .8rem; cursor: pointer; }
.pick input { position: absolute; opacity: 0; } .pick label:has(:checked) { background: var(--accent);
  color: var(--ground); border-color: var(--accent); }
.pick label:has(:focus-visible) { outline: 2px solid var(--accent);
  outline-offset: 2px; }
[hidden] { display: none !important; }
article { border-top: 1px solid var(--line); padding: 1rem 0 1.2rem; }
.versions { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); gap: 1rem; }
figure { margin: 0; min-width: 0; } figure.playing .spec { box-shadow: 0 0 0 2px var(--accent); }
figcaption { display: flex; flex-wrap: wrap; gap: .1rem .6rem; align-items: baseline; margin-bottom: .25rem; }
kbd { font: 600 .8em ui-monospace, monospace; border: 1px solid var(--line); border-bottom-width: 2px;
  border-radius: 4px;
  padding: 0 .35rem; background: var(--panel); }
.spec { position: relative; border-radius: 4px; overflow: hidden; cursor: pointer; }
.spec img { width: 100%; height: 8rem; display: block; image-rendering: pixelated; }
.spec i { position: absolute; top: 0; bottom: 0; width: 2px; background: #fff; opacity: .9; left: 0; display: none; }
figure.playing .spec i { display: block; }
audio { width: 100%; height: 2.4rem; display: block; margin-top: .3rem; }
del { color: var(--bad); } ins { color: var(--new); } .fault { border: 1px solid var(--bad); border-radius: 3px;
  padding: 0 .3rem; font-size: .8em; color: var(--bad); }
.note { border-left: 4px solid var(--new); background: var(--panel); border-radius: .3rem; padding: .5rem .9rem;
  margin: .8rem 0; max-width: 60rem; } .note ul { margin: .2rem 0; padding-left: 1.1rem; }
summary { cursor: pointer; padding: .3rem 0; } code { background: var(--panel); padding: 0 .3rem; border-radius: 3px; }
@media print { nav, audio { display: none; } }
""" + palette_css()

SCRIPT = """
(() => {
  const all = (query, root = document) => [...root.querySelectorAll(query)];
  for (const group of all('fieldset.pick')) {
    const show = () => {
      const chosen = group.querySelector(':checked').value;
      for (const part of all(`[data-pick="${group.id}"]`)) part.hidden = part.dataset.value !== chosen;
    };
    group.addEventListener('change', show); show(); group.hidden = false;
  }
  const figureOf = (audio) => audio.closest('figure');
  let playing = null;
  document.addEventListener('play', (event) => {
    if (playing && playing !== event.target) playing.pause();
    playing = event.target;
    for (const figure of all('figure.playing')) figure.classList.remove('playing');
    figureOf(playing).classList.add('playing');
    const line = figureOf(playing).querySelector('.spec i');
    const audio = playing;
    const step = () => {
      if (audio.duration) line.style.left = `${100 * audio.currentTime / audio.duration}%`;
      if (!audio.paused) requestAnimationFrame(step);
    };
    step();
  }, true);
  const from = (audio, seconds) => {
    const go = () => { audio.currentTime = Math.min(seconds, (audio.duration || seconds) - 0.01); audio.play(); };
    if (audio.readyState > 0) go();
    else { audio.addEventListener('loadedmetadata', go, { once: true }); audio.preload = 'auto'; audio.load(); }
  };
  for (const picture of all('.spec')) picture.addEventListener('click', (event) => {
    const audio = picture.closest('figure').querySelector('audio');
    const share = (event.clientX - picture.getBoundingClientRect().left) / picture.clientWidth;
    from(audio, share * Number(picture.dataset.seconds));
  });
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target instanceof Element && event.target.matches('input, select, textarea')) return;
    const article = (document.activeElement && document.activeElement.closest('article'))
      || (playing && playing.closest('article'));
    if (event.key === 'Escape' && playing) playing.pause();
    if (event.key === 'j' || event.key === 'k') {
      const articles = all('article');
      const next = articles.indexOf(article) + (event.key === 'j' ? 1 : -1);
      if (articles[next]) { articles[next].focus(); articles[next].scrollIntoView({ block: 'start' }); }
    }
    if (!article || !/^[1-9]$/.test(event.key)) return;
    const audio = all('audio', article)[Number(event.key) - 1];
    if (!audio) return;
    event.preventDefault();
    const same = playing && playing.closest('article') === article && !playing.ended;
    from(audio, same ? playing.currentTime : 0);
  });
  for (const button of all('th button')) button.addEventListener('click', () => {
    const head = button.parentElement;
    const table = head.closest('table');
    const column = [...head.parentElement.children].indexOf(head);
    const down = head.getAttribute('aria-sort') === 'ascending';
    for (const other of all('th[aria-sort]', table)) other.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    const value = (row) => row.children[column].dataset.value ?? row.children[column].textContent;
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      const difference = x !== '' && y !== '' && !isNaN(x) && !isNaN(y) ? x - y : x.localeCompare(y);
      return down ? -difference : difference;
    });
    table.tBodies[0].append(...rows);
  });
})();
"""
