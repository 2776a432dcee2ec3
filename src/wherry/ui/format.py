"""`--format`: docker's words for how a list or a document is printed.

`table` and `table TEMPLATE` have column headers; `json` is one object a line; anything else is a Go
template (template.py). `\\t` and `\\n` may be written as two characters each.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from wherry.ui import table
from wherry.ui.template import Template

Row = Mapping[str, object]


def listing(spec: str, headers: Mapping[str, str], columns: Sequence[str], rows: Iterable[Row]) -> str:
    """A list as text. `headers` names every field a template may use and its title; `columns` are the fields
    of the table that is printed when `spec` names none."""
    if spec in ("", "table"):
        cells = ([_cell(row[column]) for column in columns] for row in rows)
        return table.render([headers[column] for column in columns], cells)
    if spec == "json":
        return "".join(_json({field: row[field] for field in sorted(headers)}) + "\n" for row in rows)
    word, _, pattern = spec.partition(" ")
    if word != "table":
        template = Template(_unescaped(spec))
        return "".join(template.render(row) + "\n" for row in rows)
    template = Template(_unescaped(pattern))
    lines = [template.render(row) for row in (headers, *rows)]
    return table.align([line.split("\t") for line in lines])


def document(spec: str, value: object) -> str:
    """One value, by `json` or a template, with a line end."""
    return (_json(value) if spec == "json" else Template(_unescaped(spec)).render(value)) + "\n"


def pretty(value: object) -> str:
    """JSON as `docker inspect` prints it, with a line end."""
    return json.dumps(value, indent=4, ensure_ascii=False) + "\n"


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _cell(value: object) -> str:
    """Text in a table stays on its line: what is shown may come from an image."""
    from wherry.base.text import one_line

    return one_line(str(value))


def _unescaped(spec: str) -> str:
    return spec.replace("\\t", "\t").replace("\\n", "\n")
