from __future__ import annotations

import pytest

from wherry.ui import format, table

HEADERS = {"ID": "CONTAINER ID", "Name": "NAMES", "Ports": "PORTS"}
ROWS = [
    {"ID": "0123456789ab", "Name": "web", "Ports": "0.0.0.0:5000->5000/tcp"},
    {"ID": "ba9876543210", "Name": "a-long-name-of-a-container", "Ports": ""},
]


@pytest.mark.parametrize("spec", ["", "table"])
def test_a_table_has_docker_s_widths(spec: str) -> None:
    assert format.listing(spec, HEADERS, ["ID", "Name", "Ports"], ROWS) == (
        "CONTAINER ID   NAMES                        PORTS\n"
        "0123456789ab   web                          0.0.0.0:5000->5000/tcp\n"
        "ba9876543210   a-long-name-of-a-container   \n"
    )


def test_columns_are_at_least_ten_wide() -> None:
    assert table.render(["TAG", "ID"], [["v1", "x"]]) == "TAG       ID\nv1        x\n"


def test_a_table_of_a_template_has_headers() -> None:
    text = format.listing("table {{.Name}}\\t{{.ID}}: {{.Ports}}", HEADERS, [], ROWS[:1])
    assert text == "NAMES     CONTAINER ID: PORTS\nweb       0123456789ab: 0.0.0.0:5000->5000/tcp\n"


def test_a_template_prints_a_line_for_each_row() -> None:
    assert format.listing("{{.ID}}\\t{{.Name}}", HEADERS, [], ROWS[:1]) == "0123456789ab\tweb\n"


def test_json_prints_an_object_for_each_row() -> None:
    text = format.listing("json", HEADERS, [], [{"ID": "é", "Name": "n", "Ports": ""}])
    assert text == '{"ID":"é","Name":"n","Ports":""}\n'


def test_no_rows_print_the_header_of_a_table_and_nothing_else() -> None:
    assert format.listing("", HEADERS, ["ID", "Name"], []) == "CONTAINER ID   NAMES\n"
    assert format.listing("{{.ID}}", HEADERS, [], []) == ""


def test_a_cell_stays_on_its_line_and_shows_no_escape_sequence() -> None:
    rows = [{"ID": "1", "Name": "a\n\x1b[31mb\x07", "Ports": ""}]
    assert format.listing("", HEADERS, ["ID", "Name"], rows) == "CONTAINER ID   NAMES\n1              a b\n"


def test_a_document_is_printed_by_json_or_template() -> None:
    value = {"A": {"b": [1]}}
    assert format.document("json", value) == '{"A":{"b":[1]}}\n'
    assert format.document("{{.A.b}}\\n", value) == "[1]\n\n"
    assert format.pretty([value]).startswith('[\n    {\n        "A": {')
