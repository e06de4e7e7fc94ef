"""HTML and SVG as nested calls. Plain text is always escaped, so that no label or transcript can act as markup."""

from __future__ import annotations

import html
from collections.abc import Iterable

_VOID = {"meta", "br", "input"}


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Child = str | int | Html


def tag(element: str, /, *children: Child, **attributes: str | float | None) -> Html:
    """One element. ``class_`` is ``class``, ``stroke_width`` is ``stroke-width``; ``None`` leaves an attribute out.

    >>> tag("p", "a < b", tag("b", "c"), class_="note")
    '<p class="note">a &lt; b<b>c</b></p>'
    """
    named = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    opening = "".join(f' {key}="{html.escape(_attribute(value))}"' for key, value in named.items())
    if element in _VOID:
        return Html(f"<{element}{opening}>")
    return Html(f"<{element}{opening}>{join(children)}</{element}>")


def join(children: Iterable[Child]) -> Html:
    """Children side by side; plain text is escaped."""
    return Html("".join(child if isinstance(child, Html) else html.escape(str(child)) for child in children))


def table(
    head: Iterable[Child], rows: Iterable[Iterable[Child]], class_: str | None = None, name: str | None = None
) -> Html:
    """A table whose first column names its rows. The other columns are set as numbers.

    ``name`` is the file name, without extension, of the CSV and LaTeX files that the page's script offers.
    """
    headings = tag("tr", *(tag("th", cell, scope="col") for cell in head))
    body = [
        tag("tr", *(tag("td", cell) if column else tag("th", cell, scope="row") for column, cell in enumerate(row)))
        for row in rows
    ]
    grid = tag("table", tag("thead", headings), tag("tbody", *body), class_=class_, data_name=name)
    return tag("div", tag("div", grid, class_="scroll"), class_="box")


def section(title: str, *children: Child, lead: Child = "") -> Html:
    """A section with its heading and, under it, one sentence that says what to look at."""
    explained = [tag("p", lead, class_="lead")] if lead else []
    return tag("section", tag("h2", title), *explained, *children)


def spread(fraction: float) -> Html:
    """`` ± 1.23``: a standard deviation in points, set in small type beside its mean."""
    return tag("span", f" ± {100 * fraction:.2f}", class_="spread-in")


def _attribute(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
