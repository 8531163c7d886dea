"""Fails where a page of the built site would ask another server for anything: scripts, styles, fonts, pictures.

Usage: check_site.py FOLDER. Links that a reader may follow are none of its business.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

LOADED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src")}
ELSEWHERE = re.compile(r"(?:https?:)?//", re.IGNORECASE)
IN_STYLES = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')\s]+)", re.IGNORECASE)


class Page(HTMLParser):
    """`elsewhere`: what the page loads from other servers, and the diagrams for which the theme would."""

    def __init__(self) -> None:
        super().__init__()
        self.elsewhere: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "link" and given.get("rel") in ("canonical", "alternate"):
            return
        for name, value in attributes:
            if (tag, name) in LOADED and ELSEWHERE.match(value or ""):
                self.elsewhere.append(str(value))
        if "mermaid" in (given.get("class") or "").split():
            self.elsewhere.append("mermaid")


def find(folder: Path) -> dict[str, list[str]]:
    """By file: what is not of the site itself."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".html":
            page = Page()
            page.feed(path.read_text())
            found[path.relative_to(folder).as_posix()] = page.elsewhere
        elif path.suffix == ".css":
            found[path.relative_to(folder).as_posix()] = IN_STYLES.findall(path.read_text())
    return {name: elsewhere for name, elsewhere in found.items() if elsewhere}


def main() -> int:
    folder = Path(sys.argv[1])
    found = find(folder)
    for name, elsewhere in found.items():
        print(f"{folder / name} loads from elsewhere: {', '.join(elsewhere)}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
