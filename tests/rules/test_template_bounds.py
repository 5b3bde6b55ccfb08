"""Template bombs: each passes a bound, promptly and without filling the memory, and harms nothing else."""

from __future__ import annotations

import threading
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automation.rules.template_bounds import MAX_WIDTH, percent
from automation.rules.template_budget import start
from automation.rules.templating import (
    TemplateBoundError,
    TemplateError,
    TemplateSecurityError,
    TemplateSyntaxError,
    render_html,
    render_text,
)

LONG = "'" + "x" * 40_000 + "'"
DOUBLED_LIST = "{% set a = [1, 2] %}" + "{% set a = [a, a] %}" * 40
DOUBLED_TUPLE = "{% set a = (1, 2) %}" + "{% set a = (a, a) %}" * 40
EXPONENTIAL_MACROS = "{% macro a0() %}x{% endmacro %}" + "".join(
    f"{{% macro a{n}() %}}{{{{ a{n - 1}() }}}}{{{{ a{n - 1}() }}}}{{% endmacro %}}" for n in range(1, 40)
)

BOMBS = {
    "text times a number": "{{ 'a' * 10**9 }}",
    "a number times text": "{{ 10**9 * 'a' }}",
    "a list times a number": "{{ [1] * 10**9 }}",
    "power": "{{ 2 ** (2 ** 20) }}",
    "squares": "{% set a = 99999999 %}" + "{% set a = a * a %}" * 40,
    "range": "{{ range(10**9) | list }}",
    "range beyond len()": "{{ range(10**30) | list }}",
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "nested loops in a macro": "{% macro m() %}{% for a in range(99999) %}{% for b in range(99999) %}xxxxxxxxxx"
    "{% endfor %}{% endfor %}{% endmacro %}{{ m() }}",
    "loops with filters": "{% for a in range(99999) %}{{ range(99999) | map('string') | join | length }}{% endfor %}",
    "literal in a loop": "{% for a in range(99999) %}" + "x" * 50_000 + "{% endfor %}",
    "recursive loop": "{% for a in range(99999) recursive %}{{ loop(range(99999)) }}{% endfor %}",
    "endless macro": "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
    "exponential macros": EXPONENTIAL_MACROS + "{{ a39() }}",
    "center filter": "{{ 'a' | center(10**9) }}",
    "center by keyword": "{{ 'a' | center(width=10**9) }}",
    "center method": "{{ 'a'.center(10**9) }}",
    "ljust": "{{ 'a'.ljust(10**9) }}",
    "zfill": "{{ 'a'.zfill(10**9) }}",
    "mapped center": "{{ range(99999) | map('string') | map('center', 9999) | list | length }}",
    "format filter": "{{ '%999999999d' | format(1) }}",
    "format precision": "{{ '%.999999999f' | format(1) }}",
    "format operator": "{{ '%999999999d' % 1 }}",
    "format width and precision": "{{ '%5.999999999f' % 1.5 }}",
    "format star": "{{ '%*d' % (999999999, 1) }}",
    "format with a nested key": "{{ '%(a(b))999999999d' % {'a(b)': 1} }}",
    "format repeating its argument": "{{ ('%(a)s' * 9999) % {'a': " + LONG + "} }}",
    "format method": "{{ '{:999999999}'.format(1) }}",
    "format method, nested": "{{ '{:{}}'.format(1, 999999999) }}",
    "format method, repeating": "{{ ('{0}' * 9999).format(" + LONG + ") }}",
    "doubled list": DOUBLED_LIST + "{{ a }}",
    "doubled list as JSON": DOUBLED_LIST + "{{ a | tojson }}",
    "doubled lists compared": DOUBLED_LIST + DOUBLED_LIST.replace("a", "b") + "{{ a == b }}",
    "doubled tuple as a key": DOUBLED_TUPLE + "{{ {a: 1} }}",
    "doubled dict": "{% set d = {} %}" + "{% set d = {'a': d, 'b': d} %}" * 40 + "{{ d }}",
    "doubled arguments": "{% macro m(n) %}{% if n %}{{ m(n - 1, varargs, varargs) }}{% else %}{{ varargs }}{% endif %}"
    "{% endmacro %}{{ m(60, 'x') }}",
    "doubled text": "{% set a = 'xxxxxxxxxx' %}" + "{% set a = a ~ a %}" * 40,
    "added text": "{% set a = 'xxxxxxxxxx' %}" + "{% set a = a + a %}" * 40,
    "doubled block": "{% set a = 'xxxxxxxxxx' %}" + "{% set a %}{{ a }}{{ a }}{% endset %}" * 40,
    "nested tuples": "{% set n = namespace(a=1) %}{% for i in range(99999) %}{% set n.a = (n.a,) %}{% endfor %}"
    "{{ {n.a: 1} }}",
    "replace method": "{{ " + LONG + ".replace('x', " + LONG + ") }}",
    "replace filter": "{{ " + LONG + " | replace('', " + LONG + ") }}",
    "join filter": "{{ range(99999) | join(" + LONG + ") }}",
    "join method": "{{ " + LONG + ".join('a' * 50000) }}",
    "indent": "{{ ('a\n' * 20000) | indent(9999) }}",
    "wordwrap": "{{ ('a ' * 20000) | wordwrap(1, true, 'x' * 10000) }}",
    "batch": "{{ [1] | batch(10**9, 1) | list }}",
    "slice": "{{ [1] | slice(10**9) | list }}",
    "JSON indent": "{{ [[[1]]] | tojson(indent=10**8) }}",
    "round": "{{ 1.5 | round(10**9, 'ceil') }}",
    "striptags": "{{ ('<!---->' * 140000) | striptags }}",
    "parentheses": "{{ " + "(" * 40_000 + "1" + ")" * 40_000 + " }}",
    "nots": "{{ " + "not " * 20_000 + "1 }}",
    "sum": "{{ " + "+".join(["a"] * 20_000) + " }}",
    "attributes": "{{ a" + ".b" * 30_000 + " }}",
    "brackets": "{{ " + "[" * 30_000 + "]" * 30_000 + " }}",
    "filters": "{{ a" + "|upper" * 15_000 + " }}",
    "minus signs": "{{ 1 " + "-" * 90_000 + "1 }}",
    "blocks in blocks": "{% for a in [1] %}" * 30 + "{% endfor %}" * 30,
    "many parts": "{{ a }}" * 14_000,
    "large source": "x" * 100_001,
    "large source in bytes": "é" * 50_001,
    "large output": "{% for a in range(11) %}{{ 'é' * 50000 }}{% endfor %}",
}
REFUSED = {
    "integer methods": "{{ (1).to_bytes(10**9) }}",
    "expandtabs": "{{ ('\t' * 9999).expandtabs(9999) }}",
    "translate": "{{ 'a'.translate({97: 'x' * 999999}) }}",
    "strftime width": "{{ start_time.strftime('%999999999d') }}",
    "date width": "{{ start_time | date('%-999999999d') }}",
    "sum of lists": "{{ [[1], [2]] | sum(start=[]) }}",
    "digits": "{{ " + "9" * 5_000 + " }}",
    "infinity": "{{ 1e999 }}",
    "cents": "{{ 1 | currency('EUR', 10**9) }}",
    "a huge duration": "{{ (10**30) | duration }}",
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("render", [render_text, render_html])
def test_a_bomb_passes_a_bound(name: str, render: object) -> None:
    started = time.thread_time()
    with pytest.raises(TemplateBoundError):
        render(BOMBS[name], {"a": "A"})  # type: ignore[operator]
    assert time.thread_time() - started < 2


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_a_bomb_is_refused(name: str) -> None:
    with pytest.raises(TemplateError):
        render_text(REFUSED[name], {"start_time": "2026-03-29T09:30:00+02:00"})


@pytest.mark.parametrize("name", ["mapped center", "nested loops in a macro", "doubled list", "exponential macros"])
def test_a_bomb_does_not_fill_the_memory(name: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(TemplateBoundError):
            render_text(BOMBS[name], {})
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


def test_a_bomb_harms_nothing_else() -> None:
    """Other threads render on while one burns its second, and the one that burnt renders again."""
    outcomes: list[str] = []

    def burn() -> None:
        try:
            render_text(BOMBS["exponential macros"] + "{{ a39() }}", {})
        except TemplateBoundError as error:
            outcomes.append(error.reason)
        outcomes.append(render_text("Hi {{ invitee_name }}", {"invitee_name": "Ada"}).text)

    threads = [threading.Thread(target=burn) for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        rendered = render_text("Hi {{ invitee_name }}", {})
        assert (rendered.text, rendered.fallbacks_used) == ("Hi Guest", ["invitee_name"])
    assert sorted(outcomes) == ["Hi Ada", "Hi Ada", *["rendering took longer than 1 s"] * 2]


def test_large_but_honest_templates_render() -> None:
    source = "<p>{{ invitee_name }}, " + "lorem ipsum " * 8_000 + "</p>"
    assert render_html(source, {"invitee_name": "Ada"}).text.startswith("<p>Ada, lorem")
    table = "{% for i in range(5000) %}<tr><td>{{ i }}</td><td>{{ i * 2 }}</td></tr>\n{% endfor %}"
    assert render_html(table, {}).text.count("<tr>") == 5_000


def test_deep_and_large_answers_are_bounded() -> None:
    deep: list[object] = []
    for _ in range(50_000):
        deep = [deep]
    cyclic: list[object] = []
    cyclic.append(cyclic)
    for value in (deep, cyclic, ["x" * 1_000] * 2_000, {"a": deep}, 10**5_000):
        for source in (
            "{{ custom_x }}",
            "{{ custom_x | tojson }}",
            "{{ custom_x == custom_x }}",
            "{{ custom_x ~ '' }}",
        ):
            with pytest.raises(TemplateBoundError):
                render_text(source, {"custom_x": value})
    assert render_text("Hi {{ invitee_name }}", {"invitee_name": "Ada", "custom_x": deep}).text == "Hi Ada"


@pytest.mark.parametrize("hostile", ["9" * 49_000, "0*" * 24_000, ".*" * 24_000, "%(" * 24_000, "%" * 49_000])
def test_a_text_that_is_no_format_is_read_once(hostile: str) -> None:
    started = time.thread_time()
    for source in ("{{ x % 1 }}", "{{ x | format(1) }}"):
        with pytest.raises(TemplateError):
            render_text(source, {"x": hostile})
    assert time.thread_time() - started < 0.5


def test_a_format_may_speak_of_stars_and_of_large_numbers() -> None:
    source = "{{ '%s: *important*, 10000000 euros, 99999d' % 'News' }}"
    assert render_text(source, {}).text == "News: *important*, 10000000 euros, 99999d"


PARTS = [
    "%",
    "(a)",
    "(a(b))",
    "(",
    "999",
    "20000",
    "1",
    ".",
    "*",
    "#",
    "0",
    "-",
    " ",
    "h",
    "L",
    "d",
    "s",
    "f",
    "c",
    "é",
]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=7))
def test_what_percent_admits_is_no_longer_than_it_says(parts: list[str]) -> None:
    """Against Python itself: no width or precision hides from the check."""
    start()
    template = "%" + "".join(parts)
    for arguments in ({"a": 1, "a(b)": 1}, 1, 1.5, (20_000, 1), "a"):
        try:
            percent(template, arguments)
            written = template % arguments
        except (TemplateBoundError, TypeError, ValueError, KeyError, OverflowError):
            continue
        assert len(written) < MAX_WIDTH * template.count("%") + 1_000


def test_bounds_have_a_code_for_the_api() -> None:
    assert {error.code for error in (TemplateBoundError, TemplateSyntaxError, TemplateSecurityError)} == {
        "template_bound",
        "template_syntax",
        "template_security",
    }
