"""What the pages say is so: settings and their defaults, commands, links, paths and names."""

from __future__ import annotations

import ast
import os
import re
import runpy
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class
from django.db.models import TextChoices

from automation.models import ExecutionStatus, StepStatus
from project import env
from tests.api.world import document

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
SETTINGS = (ROOT / "docs" / "settings.md").read_text("utf-8")
ROW = re.compile(r"^\| `([A-Z][A-Z0-9_]+)` \|(.*?)\|", re.MULTILINE)
IN_PROCFILE = re.compile(r"\$\{(\w+):([-?])([^}]*)")
EACH_ITS_OWN = {"WORKER_CONCURRENCY", "PORT", "HOST"}
"""What the Procfile's lines, or `make up`, have other defaults for, each told in its row."""


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """The lines of a page's code blocks of these languages, those that a backslash continues as one."""
    for language, code in re.findall(r"^ *```(\w*)\n(.*?)^ *```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        if language in languages:
            yield from code.replace("\\\n", " ").splitlines()


# -- settings ----------------------------------------------------------------------------------------------------------


def written() -> dict[str, str]:
    """Each setting of the page, with its default's cell."""
    rows = ROW.findall(SETTINGS)
    assert len(rows) == len(dict(rows)), "a setting has two rows"
    return {name: default.strip() for name, default in rows}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Each variable that the settings read where the environment is empty, with its default."""
    for name in list(os.environ):
        if name != "PATH":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "postgresql://host/name")  # which has settings of its own
    found: dict[str, Any] = {}

    def noting(kind: str) -> Any:
        reader = getattr(env, kind)

        def one(name: str, *default: Any, **bounds: Any) -> Any:
            found[name] = default[0] if default else ""
            return reader(name, *default, **bounds)

        return one

    kinds = ("text", "label", "directory", "boolean", "integer", "seconds", "words", "url", "choice", "cron", "rate")
    for kind in kinds:
        monkeypatch.setattr(env, kind, noting(kind))
    runpy.run_path(str(ROOT / "project" / "settings.py"))
    return found


def shown(default: Any) -> str:
    """A default as an operator would write it."""
    match default:
        case bool():
            return str(default).lower()
        case int() | float():
            return f"{default:.15g}"
        case list():
            return ",".join(default)
    return str(default).replace(f"{ROOT}{os.sep}var", "var")


def test_every_setting_stands_in_the_page_with_its_default(read: dict[str, Any]) -> None:
    page = written()
    for name, default in read.items():
        assert name in page, f"docs/settings.md has no row for {name}"
        said = page[name].strip("`")
        if said in read:  # another variable's value
            said = shown(read[said])
        assert said == shown(default), f"docs/settings.md has another default for {name}"


def test_every_row_is_a_setting_of_the_project_or_of_its_procfile(read: dict[str, Any]) -> None:
    procfile = {name: (mark, default) for name, mark, default in IN_PROCFILE.findall((ROOT / "Procfile").read_text())}
    page = written()
    assert set(page) == set(read) | set(procfile)
    for name, (mark, default) in procfile.items():
        if mark == "-" and "$" not in default and name not in EACH_ITS_OWN:
            assert page[name] == f"`{default}`", f"the Procfile has another default for {name}"


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("docs/settings.md", "README.md")])
def test_another_page_gives_a_setting_no_other_default(name: str) -> None:
    page = written()
    for setting, default in ROW.findall((ROOT / name).read_text("utf-8")):
        if setting in page and (said := default.strip().strip("`")) and "{" not in said:
            assert said == page[setting].strip("`"), f"{name} has another default for {setting}"


def test_the_readme_names_no_setting_that_there_is_not() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    table = readme.split("## Settings")[1].split("\n## ")[0]
    named = set(re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`", table))
    assert named
    assert named <= set(written())


@pytest.mark.parametrize("name", ["docs/operations.md", "docs/troubleshooting.md"])
def test_the_operations_of_the_api_that_it_names_are_there(name: str) -> None:
    paths = {re.sub(r"{\w+}", "{}", path.removeprefix("/api/v1/")): item for path, item in document()["paths"].items()}
    found = re.findall(r"`(GET|POST|DELETE) (?:/api/v1/)?([\w/{}-]+/)", (ROOT / name).read_text("utf-8"))
    assert len(found) > 1
    for method, path in found:
        assert method.lower() in paths[re.sub(r"{\w+}", "{}", path)], f"{name} names {method} {path}"


# -- links and paths ---------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", NAMES)
def test_its_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{name} links to {target}"
        assert not anchor or anchor in anchors(there), f"{name} links to {target}: there is no such heading"


def test_the_index_names_every_page_once() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    linked = re.findall(r"\]\(([\w/.-]+\.md)\)", index)
    pages = {str(page.relative_to(ROOT / "docs")) for page in PAGES if page.parent == ROOT / "docs"} - {"README.md"}
    assert sorted(name for name in linked if "/" not in name) == sorted(pages)
    decisions = {str(page.relative_to(ROOT / "docs")) for page in PAGES if page.parent.name == "decisions"}
    assert sorted(name for name in linked if name.startswith("decisions/")) == sorted(decisions)


PLACES = re.compile(r"`((?:automation|tests|tasks|project|bench|beat_schedules|docs)/[\w/.-]+)`")


@pytest.mark.parametrize("name", NAMES)
def test_the_paths_it_names_are_there(name: str) -> None:
    for place in PLACES.findall((ROOT / name).read_text("utf-8")):
        if place != "tests/domains/test_warehouse.py" and not place.startswith("automation/domains/warehouse"):
            assert (ROOT / place).exists(), f"{name} names {place}"


def test_each_package_that_the_project_needs_has_its_reason() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[\[<>=~! ;]", one)[0].lower() for one in declared}
    rows = re.findall(r"^\| ([\w, -]+?) \|", (ROOT / "docs" / "dependencies.md").read_text(), re.MULTILINE)
    told = {name.strip().lower() for row in rows for name in row.split(",")} - {"package", "---"}
    assert told == names


# -- architecture ------------------------------------------------------------------------------------------------------

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_the_modules_it_names_are_there() -> None:
    there = {path.name for package in ("automation", "tasks") for path in (ROOT / package).rglob("*.py")}
    assert set(re.findall(r"\b(\w+\.py)\b", ARCHITECTURE)) - {"test_recovery.py"} <= there


def writes_a_status(module: Path) -> bool:
    """Whether a module has an `update(status=…)`, of whatever rows."""
    calls = [node for node in ast.walk(ast.parse(module.read_text("utf-8"))) if isinstance(node, ast.Call)]
    updates = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "update"]
    return any(keyword.arg == "status" for call in updates for keyword in call.keywords)


def test_it_names_all_who_write_a_status() -> None:
    told = set(re.findall(r"\b(\w+\.py)\b", ARCHITECTURE.split("- Statuses, ")[1].split("\n- ")[0]))
    engine = (ROOT / "automation" / "durable").rglob("*.py")
    assert {module.name for module in engine if writes_a_status(module)} <= told


@pytest.mark.parametrize(("heading", "statuses"), [("An execution", ExecutionStatus), ("A step", StepStatus)])
def test_its_diagrams_name_every_status(heading: str, statuses: type[TextChoices]) -> None:
    diagram = ARCHITECTURE.split(f"\n## {heading}\n")[1].split("```")[1]
    assert set(re.findall(r"[a-z_]+", diagram)) >= set(statuses.values)


def test_its_letters_are_told_of_in_their_order() -> None:
    letters = list(dict.fromkeys(re.findall(r"\(([A-Z])\)", ARCHITECTURE)))
    assert letters == [chr(ord("A") + place) for place in range(len(letters))]
    for letter in letters:
        assert ARCHITECTURE.count(f"({letter})") >= 2, f"({letter}) stands in a diagram and is not told of"


# -- commands ----------------------------------------------------------------------------------------------------------

VALUES = dict.fromkeys(("<booking>", "<payment>", "ID"), "01a1fc26-c8dd-7ca8-a0c2-9e6e06d162a3")
"""What stands for these in an example; of others, a number."""
IN_TEXT = re.compile(r"`(?:[A-Z_]+=\S+ )*(python\s+manage\.py\s[^`]+)`")
COMMANDS = sorted(
    {
        (name, " ".join(line.removeprefix("$ ").split()))
        for name, page in zip(NAMES, PAGES, strict=True)
        for line in [*map(str.strip, blocks(page, "", "sh")), *IN_TEXT.findall(page.read_text("utf-8"))]
        if re.match(r"(\$ )?python\s+manage\.py ", line) and line.count("'") % 2 == 0  # or it goes on in the next line
    }
)


@pytest.mark.parametrize(("name", "line"), COMMANDS)
def test_its_commands_are_taken(name: str, line: str) -> None:
    """By their parsers; the arguments are those of an example."""
    line = line.partition("  #")[0]
    for command in re.split(r"&&|[|;>]", re.sub(r"<\w+>|\bID\b", lambda found: VALUES.get(found[0], "7"), line)):
        words = shlex.split(command)
        if words[:2] != ["python", "manage.py"]:
            continue
        apps = get_commands()
        assert words[2] in apps, f"{name}: there is no command {words[2]!r}"
        app = apps[words[2]]
        found = load_command_class(app, words[2]) if isinstance(app, str) else app
        found.create_parser("manage.py", words[2]).parse_args(words[3:])


@pytest.mark.parametrize("name", NAMES)
def test_the_commands_and_targets_it_mentions_are_there(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    commands = get_commands()
    for word in re.findall(r"`(?:python )?manage\.py (\w+)", text):
        assert word in commands, f"{name} mentions manage.py {word}"
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for word in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE):
        assert word in targets, f"{name} mentions make {word}"
