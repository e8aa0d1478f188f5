"""Templates: what they may say, and that neither they nor their data get out of the sandbox."""

import pytest

from service.rendering import MAX_SOURCE, BadTemplateError, Source, Variable, check, render


def source(text: str = "", html: str = "", subject: str = "", *variables: str) -> Source:
    return Source(subject or "S", text, html, tuple(Variable(name) for name in variables))


def test_text_is_plain_and_html_is_escaped() -> None:
    rendered = render(
        source("Hi {{ name }}", "<p>{{ name }}</p>", "For {{ name }}", "name"), {"name": "<b>Ann & Co</b>"}
    )
    assert rendered.text == "Hi <b>Ann & Co</b>"
    assert rendered.html == "<p>&lt;b&gt;Ann &amp; Co&lt;/b&gt;</p>"


def test_a_subject_is_one_line_whatever_the_data_says() -> None:
    rendered = render(source("x", "", "Hello {{ name }}", "name"), {"name": "Ann\r\nBcc: all@example.org\x00"})
    assert rendered.subject == "Hello Ann Bcc: all@example.org\ufffd"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "text: line 1: a call is not available in templates"),
        ("{% set x = 'a' %}", "text: line 1: `set` is not available in templates"),
        ("{{ name ~ name }}", "text: line 1: `~` is not available in templates"),
        ("{{ 'a' * 1000000000 }}", "text: line 1: `*` is not available in templates"),
        ("{% include 'x' %}", "text: line 1: `include` is not available in templates"),
        ("{{ name | pprint }}", "text: line 1: no filter `pprint`; there are "),
        ("\n{{ nmae }}", "text: uses `nmae`, which `variables` does not declare"),
        ("{{ name", "text: line 1: unexpected end of template, expected 'end of print statement'."),
        ("{{ range(3) }}", "text: line 1: a call is not available in templates"),
        ("x" * (MAX_SOURCE + 1), "text: 20001 characters; the limit is 20000"),
        ("{{ " + "(" * 5000 + "name" + ")" * 5000 + " }}", "text: nested too deeply"),
    ],
)
def test_a_wrong_template_is_refused_with_its_part_and_line(text: str, says: str) -> None:
    with pytest.raises(BadTemplateError) as caught:
        check(source(text, "", "", "name"))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "path", ["name.__class__", "name['__class__']", "name.__init__.__globals__", "name.upper.__self__"]
)
def test_attributes_behind_a_value_cannot_be_read(path: str) -> None:
    with pytest.raises(BadTemplateError):
        render(source("{{ " + path + " }}", "", "", "name"), {"name": "Ann"})


def test_nested_loops_over_large_data_end_at_once() -> None:
    loops = source("{% for a in l %}{% for b in l %}{% for c in l %}{% endfor %}{% endfor %}{% endfor %}", "", "", "l")
    check(loops)
    with pytest.raises(BadTemplateError, match="text: more than 2000 loop turns"):
        render(loops, {"l": list(range(10_000))})


def test_output_is_cut_off() -> None:
    with pytest.raises(BadTemplateError, match="text: more than 200000 characters of output"):
        render(source("{% for a in l %}{{ t }}{% endfor %}", "", "", "l", "t"), {"l": [1] * 50, "t": "x" * 10_000})


def test_missing_variables_are_named_all_at_once_and_optional_ones_are_empty() -> None:
    optional = Source("", "{{ a }}{{ b }}[{{ c }}]", "", (Variable("a"), Variable("b"), Variable("c", required=False)))
    with pytest.raises(BadTemplateError, match="data: `a`, `b` missing"):
        render(optional, {})
    assert render(optional, {"a": 1, "b": 2}).text == "12[]"


def test_loops_see_items_and_money_has_its_currency() -> None:
    lines = source(
        "{% for i in items %}{{ loop.index }}. {{ i.name }} {{ i.price|money('EUR') }}\n{% endfor %}", "", "", "items"
    )
    check(lines)
    rendered = render(lines, {"items": [{"name": "Tea", "price": 1205}, {"name": "Cup", "price": 5}]})
    assert rendered.text == "1. Tea 12.05 EUR\n2. Cup 0.05 EUR\n"


def test_a_wrong_amount_is_told_not_thrown() -> None:
    with pytest.raises(BadTemplateError, match="cannot be filled in with this data: an amount is a whole number"):
        render(source("{{ t|money('EUR') }}", "", "", "t"), {"t": "12.5"})
