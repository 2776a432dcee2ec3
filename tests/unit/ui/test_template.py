"""Go templates. The expected texts of the first table are what docker 28 prints for the same templates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.base.errors import WherryError
from wherry.ui.lexer import BadTemplate
from wherry.ui.template import Template

CONTEXT = {
    "Name": "default",
    "Metadata": {},
    "Endpoints": {"docker": {"Host": "unix:///var/run/docker.sock", "SkipTLSVerify": False}},
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{.Name}}", "default"),
        ("{{json .Endpoints}}", '{"docker":{"Host":"unix:///var/run/docker.sock","SkipTLSVerify":false}}'),
        ("{{.Endpoints.foo}}", "<no value>"),
        ('{{(index .Endpoints "docker").Host}}', "unix:///var/run/docker.sock"),
        (
            '{{len .Name}} {{upper .Name}} {{title .Name}} {{join (split .Name "e") "-"}}',
            "7 DEFAULT Default d-fault",
        ),
        ('{{pad .Name 2 3}}|{{truncate .Name 3}} {{println "x" 1}}', "  default   |def x 1\n"),
        ('{{printf "%q %5s %v %d" .Name "a" true 3}}', '"default"     a true 3'),
        ('{{if eq .Name "default"}}yes{{else}}no{{end}}', "yes"),
        ('{{with .Name}}{{.}}{{end}}{{/* c */}} {{- " x" -}} !', "default x!"),
        ('{{"a\\tb"}} {{`raw`}} {{1.5}} {{true}} {{print 1 2 "a" "b" 3}}', "a\tb raw 1.5 true 1 2ab3"),
        ("{{index .Name 0}} {{slice .Name 1 3}}", "100 ef"),
        (
            '{{not true}} {{and 1 0}} {{or 0 "x"}} {{lt 1 2}} {{eq 1 2 1}}',
            "false 0 x true true",
        ),
        ("{{$x := 3}}{{$x}}{{range .Metadata}}{{else}}none{{end}}", "3none"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_prints_what_docker_prints(template: str, expected: str) -> None:
    assert Template(template).render(CONTEXT) == expected


@pytest.mark.parametrize(
    ("template", "value", "expected"),
    [
        ("{{.}}", {"b": [1, None, "x"], "a": True}, "map[a:true b:[1 <nil> x]]"),
        ("{{range .}}{{.}},{{end}}", ["a", "b"], "a,b,"),
        ("{{range $i, $e := .}}{{$i}}={{$e}} {{end}}", ["a", "b"], "0=a 1=b "),
        ("{{range $k, $v := .}}{{$k}}={{$v}} {{end}}", {"b": 2, "a": 1}, "a=1 b=2 "),
        ("{{range $e := .}}{{$e}}{{$.n}}{{end}}", {"n": 1}, "11"),
        ("{{if .a}}a{{else if .b}}b{{else}}c{{end}}", {"b": 1}, "b"),
        ("{{if .a}}a{{else if .b}}b{{else}}c{{end}}", {}, "c"),
        ("{{with .a}}{{.b}}{{else}}{{.c}}{{end}}", {"c": "x"}, "x"),
        ("{{with $x := .a}}{{$x.b}}{{end}}", {"a": {"b": 1}}, "1"),
        ('{{.a | upper | printf "%s-%s" "x"}}', {"a": "b"}, "x-B"),
        ("{{$n := 0}}{{range .}}{{$n = .}}{{end}}{{$n}}", [1, 7], "7"),
        ("{{or .x (and .y true)}}", {"y": 1}, "true"),
        ("{{if and .a .a.b}}x{{else}}y{{end}}", {}, "y"),
        ('{{(index (index .Ports "80/tcp") 0).HostPort}}', {"Ports": {"80/tcp": [{"HostPort": "8"}]}}, "8"),
        ("a {{- .x -}} b", {"x": 1}, "a1b"),
        ('{{"}}"}}', {}, "}}"),
        ("{{- /* left out */ -}} x", {}, "x"),
        ("{{ge 2 1}}{{le 2 1}}{{ne 1 2}}{{gt 1 2}}", {}, "truefalsetruefalse"),
        ("{{lower `AB`}}{{len .}}", [1, 2], "ab2"),
        ("{{1e3}} {{0x10}} {{-4}}", {}, "1000 16 -4"),
    ],
)
def test_renders(template: str, value: object, expected: str) -> None:
    assert Template(template).render(value) == expected


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{.Name", "unclosed action"),
        ("{{foo}}", 'function "foo" not defined'),
        ("{{if}}", "missing value for if"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{if .a}}", "without {{end}}"),
        ("{{range .a}}{{else}}", "without {{end}}"),
        ("{{(.a}}", "ends too early"),
        ("{{.a)}}", "unexpected ')'"),
        ("{{}}", "missing value"),
        ("{{.a .b}}", "cannot be given arguments"),
        ("{{define}}", "{{define}} is not supported"),
        ("{{$a, $b := .x}}", "2 variables"),
        ("{{if .a}}{{else for}}{{end}}", "unexpected 'for'"),
        ("{{.a | }}", "missing value"),
        ("{{and}}", "and needs arguments"),
        ("{{ % }}", "unexpected '%'"),
    ],
)
def test_refuses_a_bad_template_as_docker_does(template: str, message: str) -> None:
    with pytest.raises(BadTemplate) as caught:
        Template(template)
    assert message in caught.value.message
    assert caught.value.exit_code == 64


@pytest.mark.parametrize(
    "template",
    [
        "{{.Nope}}",
        "{{.Name.Foo}}",
        "{{.Endpoints.foo.Host}}",
        "{{index .Name 99}}",
        "{{range .Name}}{{end}}",
        "{{upper 3}}",
        "{{len}}",
        "{{$nope}}",
        "{{slice .Name 5 2}}",
        '{{printf "%d" .Name}}',
        '{{printf "%s"}}',
        '{{printf "x" 1}}',
        "{{index 3 1}}",
        "{{lt 1 .Name}}",
        "{{json .Name | index 1}}",
        "{{join .Name}}",
        "{{slice .Name .Name}}",
    ],
)
def test_what_cannot_be_evaluated_is_an_error_for_the_user(template: str) -> None:
    with pytest.raises(WherryError, match="template"):
        Template(template).render(CONTEXT)


def test_an_unknown_field_names_the_known_ones() -> None:
    with pytest.raises(WherryError) as caught:
        Template("{{.Nope}}").render(CONTEXT)
    assert caught.value.hint == "the fields are Name, Metadata, Endpoints"


WORDS = [
    "{{", "}}", "{{-", "-}}", ".", ".Name", ".Metadata", ".a.b", "$", "$x", ":=", "=", "|", "(", ")", ",",
    "if", "else", "end", "range", "with", "and", "or", "not", "eq", "lt", "index", "len", "json", "join",
    "split", "printf", "print", "slice", "upper", "truncate", "pad", '"a"', "`b`", "1", "-2", "1.5",
    "true", "nil",
    "{{/*c*/}}", "%d", "text",
]  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join))
def test_any_text_gives_a_text_or_an_error_for_the_user(text: str) -> None:
    for template in (text, "{{" + text + "}}"):
        try:
            assert isinstance(Template(template).render(CONTEXT), str)
        except WherryError as error:
            assert error.message
