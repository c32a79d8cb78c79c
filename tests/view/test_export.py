"""The pages as files: no dead link, no server, no request, and nothing of what was there lost."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import expect
from starlette.testclient import TestClient

import synthetic
from assay.cli.app import run as assay
from assay.errors import StorageError, UsageError
from assay.view.app import make_app
from assay.view.export.addresses import Files, Routes, address, file_part
from assay.view.export.choice import choose, spread
from assay.view.export.folder import MARKER, replacing_folder
from assay.view.export.html import Link, Ways, exported
from assay.view.export.routes import COMPARE, EXPORTED, NOT_EXPORTED, SEARCH, Book, addresses
from assay.view.export.write import Exported, export
from assay.view.pages import Site
from assay.view.routes import PAGES
from assay.view.shelf import Shelf
from caching import own_cache
from view.browsing import follow

PORT = 8765
HOSTILE = (
    """ <script>alert(1)</script> "onmouseover=alert(1) <img src=x onerror=alert(1)> </script> /static/x.js '&amp;"""
)
FIRST, SECOND = synthetic.TARGETS


def quiet(message: str, share: float | None) -> None:
    pass


def export_of(root: Path, to: Path, most: int | None = None) -> Exported:
    return export(Site(Shelf((), root), live=False), to, most, quiet)


def book_of(root: Path) -> Book:
    site = Site(Shelf((), root), live=False)
    return Book(site, {info.id: choose(site.shelf.open(info.id), None) for info in site.shelf.runs()})


class Made:
    """Two runs of the same units, exported once for all tests of this file."""

    def __init__(self, place: Path) -> None:
        self.root, self.path = place / "runs", place / "site"
        self.runs = [synthetic.write_run(self.root, hostile=HOSTILE).name for _ in range(2)]
        self.result = export_of(self.root, self.path)
        self.unit = f"run/{self.runs[0]}/unit/{FIRST.replace(':', '-')}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_CACHE", own_cache(tmp_path_factory.mktemp("cache")))
        yield Made(tmp_path_factory.mktemp("export"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# What the pages lead to


class Links(HTMLParser):
    """The links and names of a page, and the classes of its elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links, self.ids, self.classes, self.tags = [], set(), set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append((tag, found))
        self.links += [found[name] for name in ("href", "src", "action", "xlink:href") if name in found]
        self.ids.add(found.get("id"))
        self.classes.update((found.get("class") or "").split())


def dead_links(folder: Path) -> list[str]:
    pages = {path: Links(path.read_text("utf-8")) for path in folder.rglob("*.html")}
    dead = []
    for page, found in pages.items():
        for link in found.links:
            split = urlsplit(link)
            target = (page.parent / unquote(split.path)).resolve() if split.path else page
            inside = target.is_relative_to(folder.resolve()) and target.is_file()
            if split.scheme or split.netloc or split.path.startswith("/") or not inside:
                dead.append(f"{page.name}: {link}")
            elif split.fragment and split.fragment not in pages[target].ids:
                dead.append(f"{page.name}: {link}, no such place")
    return dead


def test_no_link_is_dead(made: Made):
    assert dead_links(made.path) == []
    assert len(list(made.path.rglob("*.html"))) == made.result.pages > 60


def test_what_needs_a_server_is_not_there(made: Made):
    for path in made.path.rglob("*.html"):
        text, found = path.read_text("utf-8"), Links(path.read_text("utf-8"))
        assert "server" not in found.classes, path
        assert all(values.get("role") == "search" for tag, values in found.tags if tag == "form"), path
        assert all("src" not in values for tag, values in found.tags if tag == "script"), path
        assert not re.search(r"assay-word|lucky|/rate\b|ratings|type=.module", text), path


def test_every_page_has_a_policy_before_anything_else(made: Made):
    for path in made.path.rglob("*.html"):
        tags = [(tag, values) for tag, values in Links(path.read_text("utf-8")).tags if tag not in ("html", "head")]
        assert tags[0] == ("meta", {"charset": "utf-8"})
        assert tags[1][1]["http-equiv"] == "Content-Security-Policy"
        policy = tags[1][1]["content"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors" not in policy
        assert not re.search(r"script-src[^;]*('unsafe-inline'|'self'|file:)", policy)


def test_neighbours_lead_to_each_other_and_one_without_a_page_is_text(made: Made):
    text = (made.path / f"{made.unit}.html").read_text("utf-8")
    other = SECOND.replace(":", "-")
    assert f'class="unit-link" href="{other}.html"' in text
    assert (
        '<span class="unit-link" title="not in this export"><span class="site">L2.mlp_act:</span><b>5</b></span>'
        in text
    )


def test_every_route_is_exported_or_says_why_not():
    known = {path for path, _ in PAGES}
    assert known - set(EXPORTED) == set(NOT_EXPORTED) & known == set(NOT_EXPORTED)
    assert set(EXPORTED) - known == {SEARCH}
    assert all(NOT_EXPORTED.values())


# The same as the server's


def test_twins_are_those_of_the_server(made: Made):
    book = book_of(made.root)
    files = Files(addresses(book))
    client = TestClient(make_app(Site(Shelf((), made.root)), PORT), base_url=f"http://127.0.0.1:{PORT}")
    compared = 0
    for one in files:
        if one.route.endswith(".svg"):
            assert client.get(one.path).text == (made.path / files.name(one)).read_text("utf-8")
            continue
        twin = (made.path / files.twin(one)).read_text("utf-8")
        json.loads(twin, parse_constant=pytest.fail)
        if one.route == SEARCH or (one.route == COMPARE and not one.query):
            continue
        path = "/index" if one.path == "/" else one.path
        assert client.get(f"{path}.json", params=dict(one.query)).text == twin, one
        compared += 1
    assert compared == made.result.pages - len(book.runs) - 1
    assert {path.suffix for path in made.path.rglob("*") if path.is_file()} == {".html", ".json", ".svg", ".css"}


def test_two_exports_are_equal(made: Made, tmp_path: Path):
    export_of(made.root, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(made.path)


# Names


@given(
    st.text(max_size=120) | st.sampled_from(("..", ".", "", "../../x", "con", "NUL.x", "a/b\\c", "L0.x:1@é", "x" * 300))
)
def test_names_are_files_on_any_system_and_stay_inside(text: str):
    part = file_part(text)
    assert re.fullmatch(r"[A-Za-z0-9_.@~-]{1,80}", part)
    assert not part.startswith(".")
    assert not part.endswith(".")
    assert part.split(".")[0].lower() not in ("con", "prn", "aux", "nul", "com1", "lpt9")
    files = Files([address("/run/{run}/unit/{unit}", {"by": text}, run=text, unit=text)])
    name = files.name(next(iter(files)))
    assert (Path("/x") / name).resolve().is_relative_to("/x/run")
    assert name.count("/") == 3


def test_two_pages_never_share_a_file():
    pages = [address("/run/{run}", run=name) for name in ("a:b", "a-b", "A-b", "a-b")]
    files = Files(pages)
    assert [files.name(page) for page in pages] == [
        "run/a-b.html",
        "run/a-b~2.html",
        "run/A-b~3.html",
        "run/a-b~2.html",
    ]
    assert len({files.twin(page).casefold() for page in pages}) == len(files) == 3


def test_links_are_read_as_the_server_reads_them():
    routes = Routes(["/", "/run/{run}/unit/{unit}", "/run/{run}"])
    at = address("/run/{run}/unit/{unit}", run="r", unit="L0.mlp_act:1")
    assert at.path == "/run/r/unit/L0.mlp_act%3A1"
    asked = routes.asked("?by=a+b#texts", at)
    assert asked == (at._replace(query=(("by", "a b"),)), False, "texts")
    assert routes.asked("/index.json", at) == (address("/"), True, "")
    assert routes.asked("/run/r/unit/L0.mlp_act%3A1.json", at) == (at, True, "")
    assert routes.asked("/live/1", at) is None


def test_a_run_of_any_name_stays_inside(made: Made, tmp_path: Path):
    run = synthetic.write_run(tmp_path / "runs")
    run.rename(run.with_name("..%2e #?CON&<b>"))
    export_of(tmp_path / "runs", tmp_path / "site")
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "site"}
    assert "run/~2e~.~25~2e~20~~23~~3f~CON~26~~3c~b~3e~.html" in contents(tmp_path / "site")
    assert dead_links(tmp_path / "site") == []


# The pass over a page


def passed(html: str, note: str = "") -> str:
    links = {"/a": Link("a.html"), "/never": Link(never=True)}
    ways = Ways(lambda given: links.get(given, Link()), lambda given: Link("search.html"), {"/s.js": "f(1 < 2)"})
    head = '<!DOCTYPE html>\n<meta charset="utf-8">'
    text = exported(head + html, ways, note)
    return text[text.index(">", text.index("http-equiv")) + 1 :]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("<p>a &amp; b<br>&#39;<i class=x data-r='1'>t</i>", "<p>a &amp; b<br>&#39;<i class=x data-r='1'>t</i>"),
        ('<a class="c" href="/a"><b>x</b></a>', '<a class="c" href="a.html"><b>x</b></a>'),
        ('<a rel="next" href="/b"><b>x</b></a>y', '<span title="not in this export"><b>x</b></span>y'),
        ('1<a href="/never"><b>x</b></a>2', "12"),
        ('1<img src="/b">2<img src="/a" alt="&lt;">3', '12<img src="a.html" alt="&lt;">3'),
        ('1<div class="x server"><div>a<br></div><a href="/a">b</a></div>2', "12"),
        ('1<input class="server">2', "12"),
        ("1<form><form></form></form>2", "12"),
        (
            '<form class="search server" role="search" action="/b"><input name="q"></form>',
            '<form class="search" role="search" action="search.html"><input name="q"></form>',
        ),
        ('1<script type="module" src="/x.js"></script>2', "12"),
        ('<script type="module" src="/s.js"></script>', "<script>f(1 < 2)</script>"),
        ("1<script>alert(1)</script>2", "12"),
        ('<script type="application/json">["</a>"]</script>', '<script type="application/json">["</a>"]</script>'),
        (
            '<svg viewBox="0"><a xlink:href="/b"><path/></a><a href="/a" xlink:href="/a"/></svg><a href="/b">x</a>',
            '<svg viewBox="0"><g><path/></g><a href="a.html" xlink:href="a.html"/></svg>'
            '<span title="not in this export">x</span>',
        ),
    ],
)
def test_only_what_must_change_is_changed(given: str, wanted: str):
    assert passed(given) == wanted


def test_a_note_stands_below_the_heading_once():
    assert passed("<h1>a</h1><h1>b</h1>", "1 < 2") == '<h1>a</h1>\n<p class="notice">1 &lt; 2</p><h1>b</h1>'


def test_scripts_are_allowed_by_their_hash_alone():
    ways = Ways(Link, Link, {"/s.js": "f()"})
    text = exported('<!doctype html><title>ä</title><script src="/s.js"></script>', ways)
    hashed = base64.b64encode(hashlib.sha256(b"f()").digest()).decode()
    assert text.startswith('<!doctype html><meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy"')
    assert f"script-src 'sha256-{hashed}';" in text


# Which units


def many(count: int = 46_080) -> list[dict]:
    verdicts = ("predicts",) * 90 + ("refuted",) * 6 + ("undecided",) * 4
    return [
        {
            "verdict": "supported" if i in (5, 40_000) else verdicts[i % 100],
            "r": (i * 7919 % 9973) / 9973,
            "layer": i // 1536,
        }
        for i in range(count)
    ]


def test_units_are_of_every_verdict_score_and_depth():
    rows = many()
    chosen = spread(rows, 1000)
    assert len(set(chosen)) == 1000
    assert chosen == sorted(chosen) == spread(rows, 1000)
    kept = [rows[i] for i in chosen]
    counts = {name: sum(row["verdict"] == name for row in kept) for name in {row["verdict"] for row in rows}}
    assert counts == {"supported": 2, "predicts": 333, "refuted": 333, "undecided": 332}
    for name in ("predicts", "refuted", "undecided"):
        all_of, own = ([row for row in some if row["verdict"] == name] for some in (rows, kept))
        assert min(row["r"] for row in own) == min(row["r"] for row in all_of)
        assert max(row["r"] for row in own) == max(row["r"] for row in all_of)
        assert {row["layer"] for row in own} == set(range(30))


@pytest.mark.parametrize("most", [1, 2, 3, 50, 99])
def test_no_more_than_was_asked_for(most: int):
    assert len(set(spread(many(100), most))) == most


def test_a_part_of_a_run_says_so_and_has_no_dead_link(made: Made, tmp_path: Path):
    result = export_of(made.root, tmp_path / "site", 1)
    assert (result.units, result.of) == (2, 4)
    assert dead_links(tmp_path / "site") == []
    run = f"run/{made.runs[0]}"
    for page in (f"{run}.html", f"{run}/units.html", f"{run}/map.html", f"{run}/search.html"):
        assert "pages of 1 of the run’s 2 units" in (tmp_path / "site" / page).read_text("utf-8")
    assert json.loads((tmp_path / "site" / f"{run}/units.json").read_text("utf-8"))["total"] == 1
    marker = json.loads((tmp_path / "site" / MARKER).read_text("utf-8"))
    assert marker["runs"] == {name: [1, 2] for name in made.runs}
    unit = next((tmp_path / "site" / run / "unit").glob("*.json"))
    assert json.loads(unit.read_text("utf-8"))["before"] is json.loads(unit.read_text("utf-8"))["behind"] is None


# What is there already


def put(folder: Path, text: str = "new", name: str = "run/page.html") -> None:
    with replacing_folder(folder) as new:
        new.write(name, text)
        new.finish({})


def test_an_earlier_export_is_replaced_as_a_whole(tmp_path: Path):
    site = tmp_path / "deep/site"
    put(site, "old", "old/page.html")
    put(site)
    assert set(contents(tmp_path)) == {"deep/site/run/page.html", f"deep/site/{MARKER}"}
    assert (site / "run/page.html").read_text() == "new"
    assert [path.name for path in site.parent.iterdir()] == ["site"]


@pytest.mark.parametrize("name", ["notes.txt", "index.html", ".git/config", "run/mine.txt"])
def test_files_of_others_are_never_lost(tmp_path: Path, name: str):
    site = tmp_path / "site"
    (site / name).parent.mkdir(parents=True)
    (site / name).write_text("mine")
    with pytest.raises(UsageError, match=r"holds files that assay did not export; choose a folder"):
        put(site)
    assert contents(tmp_path) == {f"site/{name}": b"mine"}


@pytest.mark.parametrize("marker", ["{}", "no JSON", '{"files": 3}', None])
def test_what_was_added_to_an_export_is_not_lost(tmp_path: Path, marker: str | None):
    site = tmp_path / "site"
    put(site)
    (site / "run/CNAME").write_text("mine")
    if marker is not None:
        (site / MARKER).write_text(marker)
    before = contents(site)
    with pytest.raises(UsageError, match=r"holds (run/CNAME|assay-export.json), which assay did not export; move it"):
        put(site)
    assert contents(site) == before


def test_what_is_put_there_meanwhile_is_not_lost(tmp_path: Path):
    def late() -> None:
        with replacing_folder(tmp_path / "site") as new:
            new.finish({})
            (tmp_path / "site").mkdir()
            (tmp_path / "site/mine").write_text("mine")

    with pytest.raises(UsageError, match="holds files"):
        late()
    assert contents(tmp_path) == {"site/mine": b"mine"}


def test_a_file_in_the_place_is_refused_an_empty_folder_taken_a_link_followed(tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is no folder"):
        put(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    put(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert set(contents(tmp_path / "empty")) == {"run/page.html", MARKER}


@pytest.mark.parametrize("earlier", [False, True])
def test_an_interrupted_export_leaves_nothing(made: Made, tmp_path: Path, earlier: bool):
    if earlier:
        put(tmp_path / "site")
    before = contents(tmp_path)

    def interrupt(message: str, share: float | None) -> None:
        if share is not None and share > 0:
            assert len(contents(tmp_path)) > len(before)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(Site(Shelf((), made.root), live=False), tmp_path / "site", None, interrupt)
    assert contents(tmp_path) == before
    assert earlier == (tmp_path / "site").exists()


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="free some space"):
        put(tmp_path / "site")
    assert list(tmp_path.iterdir()) == []


def test_no_run_is_an_error_and_leaves_nothing(tmp_path: Path):
    with pytest.raises(UsageError, match="no whole run"):
        export_of(tmp_path / "runs", tmp_path / "site")
    assert list(tmp_path.iterdir()) == []


# The command


def test_the_command_says_what_it_wrote_and_needs_no_torch(made: Made, tmp_path: Path):
    words = ["view", made.runs[0], "--out", str(made.root), "--export", str(tmp_path / "site"), "--json"]
    words += ["--export-units", "1"]
    code = f"import sys; from assay.cli.app import run; sys.exit(run({words}) or 'torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert list(said) == ["path", "pages", "units", "of", "bytes", "seconds"]
    assert (said["path"], said["units"], said["of"]) == (str(tmp_path / "site/index.html"), 1, 2)
    assert said["bytes"] == sum(map(len, contents(tmp_path / "site").values()))
    assert f"{made.runs[0]}: 1 of 2 units, --export-units all for the rest" in ended.stderr
    assert "next: python -m webbrowser file://" in ended.stderr
    assert list((tmp_path / "site/run").glob("*.html")) == [tmp_path / f"site/run/{made.runs[0]}.html"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--export-units", "5"), "give --export DIR too"),
        (("--export", "x", "--port", "0"), "leave one of them out"),
        (("--export", "x", "--export-units", "0"), "must be a number from 1 on, or 'all'"),
        (("--export", "x", "--export-units", "some"), "must be a number from 1 on, or 'all'"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(made: Made, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert assay(["view", "--out", str(made.root), *words]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# In a browser


@pytest.fixture(params=["file", "http"])
def base(request: pytest.FixtureRequest, made: Made) -> Iterator[str]:
    """The export on a disk, and in a folder of a host of files."""
    if request.param == "file":
        yield f"{made.path.as_uri()}/"
        return
    handler = partial(_Quiet, directory=str(made.path.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{made.path.name}/"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_it_opens_without_a_server(chromium, made: Made, base: str):
    context = chromium.new_context()
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: request.url.startswith(base) or wrong.append(request.url))

    page.goto(f"{base}index.html")
    follow(page.get_by_role("link", name=made.runs[0]))
    follow(page.get_by_role("link", name="units", exact=True))
    follow(page.get_by_role("link", name=FIRST))
    expect(page.locator("h1")).to_have_text(FIRST)
    assert page.evaluate("getComputedStyle(document.body).fontFamily") != "Times New Roman"
    page.locator(".picture img").scroll_into_view_if_needed()
    width = page.locator(".picture img").evaluate("(image) => image.decode().then(() => image.naturalWidth)")
    assert width > 100

    follow(page.locator(".neighbours").get_by_role("link", name=SECOND))
    expect(page.locator("h1")).to_have_text(SECOND)
    follow(page.locator(".neighbours").get_by_role("link", name=FIRST))
    expect(page.locator("h1")).to_have_text(FIRST)
    page.go_back()
    page.go_back()
    follow(page.get_by_role("link", name="lookup", exact=True))
    page.wait_for_url("**by-lookup.html*")
    token = page.locator(".t i[tabindex]").first
    token.focus()
    page.keyboard.press("Home")
    assert page.evaluate("document.activeElement.previousElementSibling?.matches('i') ?? false") is False

    page.get_by_label("Search explanations").fill("YEARS suc")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("#found")).to_have_text("2 of 2 units.")
    page.get_by_label("Units that fire on a token").fill("1984")
    assert page.locator("#units tbody tr").count() >= 1
    page.get_by_label("Search explanations").fill("nothing like that")
    expect(page.locator("#found")).to_have_text("0 of 2 units.")
    page.get_by_label("Search explanations").fill(FIRST)
    follow(page.locator("#units").get_by_role("link", name=FIRST))
    expect(page.locator("h1")).to_have_text(FIRST)
    assert wrong == []
    context.close()


def test_every_page_is_quiet_from_a_disk(chromium, made: Made):
    context = chromium.new_context()
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(f"{page.url}: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: request.url.startswith("file:") or wrong.append(request.url))
    kinds = {re.sub(r"[\d.-].*", "", path.name) + path.parent.name[:4]: path for path in made.path.rglob("*.html")}
    for path in kinds.values():
        page.goto(path.as_uri())
    assert wrong == []
    context.close()
