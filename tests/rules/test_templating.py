"""Messages: every field, fallbacks, filters, escaping, subjects, and what the check says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from automation.rules.conditions import evaluate
from automation.rules.context import build_context
from automation.rules.fields import FALLBACKS, FIELDS
from automation.rules.templating import (
    Rendered,
    TemplateError,
    TemplateRenderError,
    TemplateSecurityError,
    TemplateSyntaxError,
    check_template,
    render_html,
    render_subject,
    render_text,
)
from tests.rules.facts import at, facts, group, rule

CONTEXT = build_context(facts(), at("2026-03-28T20:00:00+00:00"))


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_renders_and_can_be_a_condition(name: str) -> None:
    source = f"<b>{{{{ {name} }}}}</b>"
    for render in (render_text, render_html, render_subject):
        rendered = render(source, CONTEXT)
        assert rendered.text not in ("<b></b>", "<b>None</b>")
        assert rendered.fallbacks_used == []
    assert check_template(source) == []
    assert evaluate([group("AND", rule(name, "is_not_empty"))], CONTEXT).result


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("missing", [{}, None, "blank"], ids=["absent", "null", "blank"])
def test_a_missing_field_takes_its_fallback(name: str, missing: Any) -> None:
    context = {} if missing == {} else {name: None if missing is None else " " if name in FALLBACKS else None}
    for render in (render_text, render_html, render_subject):
        rendered = render(f"[{{{{ {name} }}}}]", context)
        assert rendered.text == f"[{FIELDS[name].fallback}]"
        assert rendered.fallbacks_used == [name]


def test_the_fallbacks_are_the_documented_ones() -> None:
    assert {
        "invitee_name": "Guest",
        "organizer_name": "Host",
        "event_type_name": "Meeting",
        "start_time": "TBD",
        "end_time": "TBD",
        "meeting_link": "TBD",
        "meeting_id": "TBD",
        "booking_id": "TBD",
        "cancel_url": "TBD",
        "reschedule_url": "TBD",
        "feedback_url": "TBD",
        "invitee_email": "N/A",
        "organizer_email": "N/A",
        "invitee_phone": "N/A",
        "meeting_password": "N/A",
        "invitee_timezone": "UTC",
        "organizer_timezone": "UTC",
        "cancellation_reason": "No reason provided",
        "event_type_description": "No description available",
    }.items() <= FALLBACKS.items()


@pytest.mark.parametrize(
    ("source", "text", "used"),
    [
        ("{{ invitee_name | upper }}", "GUEST", ["invitee_name"]),
        ("{{ 'Hi ' + invitee_name }}", "Hi Guest", ["invitee_name"]),
        ("{{ 'Hi ' ~ invitee_name }}", "Hi Guest", ["invitee_name"]),
        ("{{ start_time | in_tz('Asia/Tokyo') | datetime }}", "TBD", ["start_time"]),
        ("{{ start_time | time }}{{ start_time | date }}", "TBDTBD", ["start_time"]),
        ("{{ custom_x }}{{ custom_y }}", "", ["custom_x", "custom_y"]),
        ("{{ custom_x.city.street }}", "", ["custom_x.city.street"]),
        ("{{ custom_x['city'] }}", "", ["custom_x.city"]),
        ("{{ invitee_name | default('you') }}", "you", []),
        ("{{ invitee_name or 'you' }}", "you", []),
        ("{% if invitee_name %}a{% else %}b{% endif %}", "b", []),
        ("{% if custom_x > 3 %}a{% else %}b{% endif %}", "b", []),
        ("{% if custom_x is none and custom_x == none and custom_x == '' %}a{% endif %}", "a", []),
        ("{% for x in custom_x %}{{ x }}{% else %}none{% endfor %}", "none", []),
        ("{{ custom_x | int }}", "0", []),
        ("{{ 'a' in custom_x }}", "False", []),
    ],
)
def test_a_missing_value_is_gentle(source: str, text: str, used: list[str]) -> None:
    for render in (render_text, render_html):
        rendered = render(source, {})
        assert (rendered.text, rendered.fallbacks_used) == (text, used)


START = datetime(2026, 3, 29, 7, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ start_time }}", "Sunday, 29 March 2026, 07:30 UTC"),
        ("{{ start_time | in_tz('Europe/Berlin') }}", "Sunday, 29 March 2026, 09:30 CEST"),
        ("{{ start_time | in_tz('America/Sao_Paulo') }}", "Sunday, 29 March 2026, 04:30 UTC-03"),
        ("{{ start_time | in_tz('Mars/Olympus') | time }}", "07:30"),
        ("{{ start_time | in_tz(invitee_timezone) | datetime('%d.%m.%Y %H:%M') }}", "29.03.2026 07:30"),
        ("{{ start_time | date }} {{ start_time | time }}", "29 March 2026 07:30"),
        ("{{ start_time | date('%Y-%m-%d') }}", "2026-03-29"),
        ("{{ start_time.strftime('%H') }}:{{ start_time.minute }}", "07:30"),
        ("{{ '2026-03-29' | date }} {{ custom_day }}", "29 March 2026 1 May 2026"),
        ("{{ 90 | duration }}, {{ 1 | duration }}, {{ 0 | duration }}", "1 hour 30 minutes, 1 minute, 0 minutes"),
        ("{{ 1500 | duration }}, {{ -5 | duration }}, {{ '30' | duration }}", "1 day 1 hour, -5 minutes, 30 minutes"),
        ("{{ end_time - start_time }}", "30 minutes"),
        ("{{ 1234.5 | currency }} {{ '10000' | currency('eur') }}", "$1,234.50 €10,000.00"),
        ("{{ 1234.5 | currency('JPY') }} {{ -2.675 | currency('CHF') }}", "¥1,235 -CHF 2.68"),
        ("{{ custom_price | currency('GBP', 0) }}", "£20"),
        ("{{ custom_topics }}", "pricing, Onboarding"),
        ("{{ custom_topics | join(' + ') | upper }}", "PRICING + ONBOARDING"),
        ("{% for t in custom_topics %}{{ loop.index }}/{{ loop.length }} {{ t }};{% endfor %}", None),
        ("{{ custom_rows | map(attribute='n') | sum }} {{ custom_rows | sum(attribute='n') }}", "6 6"),
        ("{{ custom_rows | selectattr('n', 'gt', 1) | map(attribute='n') | list | length }}", "2"),
        ("{{ custom_rows | groupby('n') | length }} {{ custom_rows[0].n }}", "3 1"),
        (
            "{{ '%s!' | format('a') }} {{ '{:,} {}'.format(1000000, 'x') }} {{ '%05.1f' % 2.25 }}",
            "a! 1,000,000 x 002.2",
        ),
        ("{% set n = namespace(t=0) %}{% for i in range(4) %}{% set n.t = n.t + i %}{% endfor %}{{ n.t }}", "6"),
        ("{% macro hi(x) %}hi {{ x }}{% endmacro %}{{ hi('you') }}", "hi you"),
        ("{% set x %}a{{ 1 }}{% endset %}{{ x }}{% filter upper %}b{% endfilter %}", "a1B"),
        ("{% for i in [1, [2, 3]] recursive %}{{ loop(i) if i is iterable else i }}{% endfor %}", "123"),
        ("{{ 'a b c'.split()[1:] | join }}{{ {'k': 'v'}.k }}{{ (1, 2) | last }}", "bcv2"),
        ("{{ 3 == 3.0 }} {{ 1 < 2 < 3 }} {{ 2 in [1, 2] }} {{ not 1 }}", "True True True False"),
        ("{{ custom_nothing.get('a', 'b') if custom_nothing else 'c' }}", "c"),
    ],
)
def test_values_read_well(source: str, text: str | None) -> None:
    context: dict[str, Any] = {
        "start_time": START,
        "end_time": START + timedelta(minutes=30),
        "custom_day": date(2026, 5, 1),
        "custom_price": Decimal("19.50"),
        "custom_topics": ["pricing", "Onboarding"],
        "custom_rows": [{"n": 1}, {"n": 2}, {"n": 3}],
    }
    expected = "1/2 pricing;2/2 Onboarding;" if text is None else text
    assert render_text(source, context).text == expected
    # The same from JSON, where times are text.
    as_text = {name: context[name].isoformat() for name in ("start_time", "end_time")}
    assert render_text(source, {**context, **as_text}).text == expected


def test_html_is_escaped_and_text_is_not() -> None:
    context = {"invitee_name": "<script>alert(1)</script>", "custom_topics": ["<b>", "&"]}
    source = "<p>{{ invitee_name }} {{ custom_topics }}</p>"
    escaped = "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert render_html(source, context).text == f"<p>{escaped} &lt;b&gt;, &amp;</p>"
    assert render_text(source, context).text == "<p><script>alert(1)</script> <b>, &</p>"


@pytest.mark.parametrize(
    "source",
    [
        "{{ x | upper }}",
        "{{ x ~ '' }}",
        "{{ '' + x }}",
        "{{ x * 2 }}",
        "{{ [x] | join }}",
        "{{ [x] }}",
        "{{ {'a': x} }}",
        "{{ '%s' % x }}",
        "{{ '%s' | format(x) }}",
        "{{ '{}'.format(x) }}",
        "{% set y %}{{ x }}{% endset %}{{ y }}",
        "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(x) }}{{ m(x) | replace('q', x) }}",
        "{% macro m(a) %}{{ caller() }}{% endmacro %}{% call m(1) %}{{ x }}{% endcall %}",
        "{{ x | truncate(99) }}{{ x | wordwrap(3) }}{{ x | indent }}{{ x | center(30) }}{{ x | title }}",
        "{{ x | urlize }}{{ {'a': x} | xmlattr }}{{ x | e | replace('q', x) }}",
        "{{ [x, x] | first }}{{ x.strip() }}{{ x.replace('a', x) }}{{ (x | e).replace('a', x) }}",
        "{{ x | default(x) }}{{ x if 1 else x }}{{ x or x }}{{ nope | default(x) }}",
        "{% for c in x %}{{ c }}{% endfor %}{{ x[:] }}{{ x | reverse }}{{ x | list | join }}{{ x | batch(2) | list }}",
        "{{ (x | e).join([x, x]) }}{{ (x | e) + x }}{{ x | striptags }}{{ (x | e).format(x) }}",
        "{{ '<img src=q>' | string }}{{ '<img>' | lower }}",
    ],
)
def test_nothing_puts_markup_into_html(source: str) -> None:
    rendered = render_html(source, {"x": "q<img src=x onerror=alert(1)>q\"'&"}).text
    assert "<img" not in rendered


@pytest.mark.parametrize("source", ["{{ x | safe }}", "{% autoescape false %}{{ x }}{% endautoescape %}"])
def test_escaping_cannot_be_switched_off(source: str) -> None:
    with pytest.raises(TemplateError):
        render_html(source, {"x": "<b>"})
    assert check_template(source, {"x"}, html=True)


@pytest.mark.parametrize(
    "evil",
    [
        "a\r\nBcc: x@y.z",
        "a\nb",
        "a\rb",
        "a\x0bb",
        "a\x0cb",
        "a\x85b",
        "a\u2028b",
        "a\u2029b",
        "a\x00b",
        "a\tb",
        "a\x1b",
    ],
)
def test_a_subject_is_one_line(evil: str) -> None:
    for text in (
        render_subject("Hi {{ invitee_name }}", {"invitee_name": evil}).text,
        render_subject("Hi {{ '\\n' }}{% for c in invitee_name %}{{ c }}{% endfor %}\n\n", {"invitee_name": evil}).text,
    ):
        assert len(text.splitlines()) == 1
        assert all(character.isprintable() for character in text.replace("\ufffd", ""))


def test_a_subject_without_markup_is_one_line_too() -> None:
    assert render_subject("Hi\r\nBcc: x@y.z \n", {}).text == "Hi Bcc: x@y.z"


def text_or_error(
    render: Callable[[str, dict[str, Any]], Rendered], source: str, context: dict[str, Any]
) -> str | TemplateError:
    try:
        return render(source, context).text
    except TemplateError as error:
        return error


SSTI = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__'] }}",
    "{{ '' | attr('__class__') }}",
    "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{{ [''] | map(attribute='__class__') | list }}",
    "{{ [''] | map('attr', '__class__') | list }}",
    "{{ [''] | groupby('__class__') }}",
    "{{ [''] | selectattr('__class__') | list }}",
    "{{ '{0.__class__}'.format('') }}",
    "{{ '{0[__class__]}'.format('') }}",
    "{{ '{a.__class__}'.format_map({'a': ''}) }}",
    "{{ ('{0.__class__}' | e).format('') }}",
    "{{ '%s' | attr('format') | attr('__self__') }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ range.__globals__ }}",
    "{{ dict.__base__.__subclasses__() }}",
    "{{ dict.mro() }}",
    "{{ lipsum.__globals__ }}",
    "{{ lipsum() }}",
    "{{ config }}{{ request }}{{ settings.SECRET_KEY }}",
    "{{ invitee_name.__class__ }}",
    "{{ nope.__class__.__init__.__globals__ }}",
    "{{ nope.__init__ }}",
    "{{ loop }}{% for x in [1] %}{{ loop.__class__ }}{% endfor %}",
    "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}",
    "{% macro m() %}{% endmacro %}{{ m._environment }}",
    "{% set ns = namespace() %}{% set ns.__class__ = 1 %}{{ ns.__class__ }}",
    "{% set ns = namespace(a=1) %}{{ ns._Namespace__attrs }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% from 'os' import system %}",
    "{% extends 'x' %}",
    "{% block x %}{{ super.__class__ }}{% endblock %}",
    "{{ start_time.tzinfo.__class__ }}",
    "{{ start_time.replace.__self__ }}",
    "{{ custom_topics.append(1) }}",
    "{{ custom_topics.clear() }}",
    "{{ (1).__class__ }}{{ 1 .real }}",
    "{{ ().__reduce__() }}",
    "{{ x() }}",
    "{% print(''.__class__) %}",
    "{{ caller() }}{{ varargs }}{{ kwargs }}",
    "{% do 1 %}",
    "{% debug %}",
    "${7*7} <%= 7*7 %> #{7*7} {{",
    "{{ 7/0 }}",
    "{{ 'a' - 1 }}",
    "{{ [] | first.x }}",
    "{{ undefined_function('a') }}",
    "{{ 'a' | nope }}",
    "{% if x %}",
    "{% endfor %}",
    "{{ 9" + "9" * 5_000 + " }}",
    "{{ '\\N{DIGIT ONE' }}",
]


@pytest.mark.parametrize("source", SSTI)
def test_the_sandbox_holds(source: str) -> None:
    context = {**CONTEXT, "custom_topics": ["pricing"]}
    for render in (render_text, render_html, render_subject):
        outcome = text_or_error(render, source, context)
        if isinstance(outcome, TemplateError):
            assert outcome.message
            assert outcome.status == 400
        else:
            for leaked in ("class", "object", "function", "root:", "<module", "globals", "SECRET"):
                assert leaked not in outcome
    assert context["custom_topics"] == ["pricing"]
    assert isinstance(check_template(source), list)


def test_leaving_the_sandbox_is_an_error_with_its_line() -> None:
    with pytest.raises(TemplateSecurityError, match=r"Line 2: '__class__' of a str"):
        render_text("hello\n{{ ''.__class__ }}", {})


def test_an_error_names_the_line() -> None:
    with pytest.raises(TemplateRenderError, match="Line 3: division by zero"):
        render_text("a\nb\n{{ 1 / 0 }}", {})
    with pytest.raises(TemplateSyntaxError, match="Line 2"):
        render_text("a\n{% if %}", {})


def test_methods_of_the_context_cannot_change_it() -> None:
    context: dict[str, Any] = {"custom_a": {"k": [1]}}
    for source in ("{{ custom_a.update({'k': 2}) }}", "{{ custom_a.k.append(2) }}", "{{ custom_a.pop('k') }}"):
        with pytest.raises(TemplateSecurityError):
            render_text(source, context)
    assert context == {"custom_a": {"k": [1]}}


@pytest.mark.parametrize(
    ("source", "message", "suggestion", "line"),
    [
        ("a\n{{ invitee_nam }}", "invitee_nam", "invitee_name", 2),
        ("{{ invitee_name | uper }}", "uper", "upper", 1),
        ("{% if 0 %}\n{{ invitee_name | uper }}{% endif %}", "uper", "upper", 2),
        ("{{ duration is evn }}", "evn", "even", 1),
        ("\n\n{% include 'x' %}", "include", "", 3),
        ("{{ invitee_name._x }}", "_x", "", 1),
        ("{% for %}", "Expected", "", 1),
        ("{{ a\n", "Unexpected", "", None),
        ("x" * 100_001, "bytes", "", None),
        ("a\n\x00", "U+0000", "", 2),
        ("\ud800", "U+D800", "", 1),
    ],
)
def test_the_check_names_what_is_wrong(source: str, message: str, suggestion: str, line: int | None) -> None:
    (problem,) = check_template(source)
    assert message in problem.message or line is None
    assert problem.suggestion == suggestion
    assert line is None or problem.line == line


def test_the_check_knows_local_names_and_the_forms_questions() -> None:
    assert check_template("{% for x in custom_a %}{{ x }}{{ loop.index }}{% endfor %}{% set y = 1 %}{{ y }}") == []
    assert check_template("{{ custom_budget }}", custom_keys={"budget"}) == []
    assert check_template("{{ custom_budgt }}", custom_keys={"budget"})[0].suggestion == "custom_budget"
    assert check_template("{{ a }}", {"a"}) == []
    assert check_template("{{ invitee_name }}", {"a"}) != []
    assert check_template(5)[0].message  # type: ignore[arg-type]


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_text_without_markup_survives_unchanged(text: str) -> None:
    assume("\x00" not in text and not any(opening in text for opening in ("{{", "{%", "{#")))
    assert render_text(text, {}).text == text
    assert render_html(text, {}).text == text


@settings(max_examples=300, deadline=None)
@given(st.text(), st.text())
def test_values_survive_unchanged_but_for_what_cannot_be_stored(name: str, answer: str) -> None:
    assume(name.strip())
    text = render_text("{{ invitee_name }}|{{ custom_x }}", {"invitee_name": name, "custom_x": answer}).text
    assert text == f"{name}|{answer}".replace("\x00", "\ufffd")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["{{", "}}", "{%", "%}", "{#", "#}", " for x in ", "range(3)", "if", "endif", "endfor",
    "x", "'", '"', "|", "upper", ".", "_", "(", ")", "[", "]", "1", "~", "-", "set a =", "macro m()", "\n", "\ud800",
    "\x00", "é", "**", "loop", "is", "not", "none", "self", "{", "}", ":", ","]), max_size=25))  # fmt: skip
def test_no_template_makes_it_raise_anything_else(parts: list[str]) -> None:
    for source in (" ".join(parts), "{{ " + " ".join(parts) + " }}"):
        for render in (render_text, render_html):
            assert isinstance(text_or_error(render, source, {"x": "y"}), (str, TemplateError))
        assert isinstance(check_template(source), list)


@pytest.mark.parametrize("hostile", ["a\x00b", "\ud800", "\udfff\udc00"])
def test_what_cannot_be_stored_is_replaced(hostile: str) -> None:
    for render in (render_text, render_html, render_subject):
        text = render("{{ invitee_name }} {{ '\\ud800' }}", {"invitee_name": hostile}).text
        assert "\x00" not in text
        text.encode("utf-8")
