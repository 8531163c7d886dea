"""scripts/check_site.py: what a page of the site asks of other servers is found, and nothing else is."""

import importlib

import pytest

from frames import ROOT


@pytest.fixture
def check_site(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("check_site")


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.html", '<script src="https://unpkg.com/x"></script>', ["https://unpkg.com/x"]),
        ("a.html", '<link rel="stylesheet" href="//fonts.example/css">', ["//fonts.example/css"]),
        ("a.html", '<img src="http://example.com/badge.svg">', ["http://example.com/badge.svg"]),
        ("a.html", '<pre class="mermaid"><code>graph</code></pre>', ["mermaid"]),
        ("b/a.css", "@font-face{src:url(https://fonts.example/a.woff2)}", ["https://fonts.example/a.woff2"]),
        ("b/a.css", '@import "https://example.com/a.css";', ["https://example.com/a.css"]),
    ],
)
def test_what_is_loaded_from_elsewhere_is_found(check_site, tmp_path, monkeypatch, capsys, name, text, found):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    assert check_site.find(tmp_path) == {name: found}
    monkeypatch.setattr("sys.argv", ["check_site.py", str(tmp_path)])
    assert check_site.main() == 1
    assert f"{name} loads from elsewhere: {found[0]}" in capsys.readouterr().err


def test_links_and_the_sites_own_files_are_none_of_its_business(check_site, tmp_path, monkeypatch):
    (tmp_path / "a.html").write_text(
        '<link rel="canonical" href="https://example.com/"><link rel="stylesheet" href="site.css">'
        '<script src="assets/bundle.js"></script><a href="https://example.com/">out</a><img src="data:image/png;,">'
    )
    (tmp_path / "site.css").write_text("a{background:url(data:image/png;,)} b{background:url(a.svg)}")
    monkeypatch.setattr("sys.argv", ["check_site.py", str(tmp_path)])
    assert check_site.main() == 0
