"""Runners: real processes on this host; `ssh` through a program that stands in for it on the PATH."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from automation.providers.runner import Command, RunnerFailed, RunnerRefused, get_runner
from automation.providers.runner.base import KEPT
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def _allowed(settings: Any) -> None:
    settings.OPS_RUNNERS = ["local", "ssh"]


def python(code: str, timeout: float = 60, **fields: Any) -> Command:
    return Command(argv=[sys.executable, "-c", code], timeout=timeout, **fields)


def test_a_command_runs_and_says_how_it_went() -> None:
    ran = get_runner("local").run(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"))
    assert (ran.exit_code, ran.stdout, ran.stderr, ran.ok) == (3, "out\n", "err\n", False)
    assert ran.summary.startswith("exit code 3 after")
    assert ran.summary.endswith(": err")


def test_no_shell_takes_the_arguments_apart(tmp_path: Path) -> None:
    ran = get_runner("local").run(Command(argv=["echo", "a b", "$HOME", "; touch x"], timeout=60, cwd=str(tmp_path)))
    assert ran.stdout == "a b $HOME ; touch x\n"
    assert list(tmp_path.iterdir()) == []


def test_environment_and_directory_are_the_commands(tmp_path: Path) -> None:
    command = python("import os; print(os.environ['COLOUR'], os.getcwd())", env={"COLOUR": "blue"}, cwd=str(tmp_path))
    assert get_runner("local").run(command).stdout.split() == ["blue", str(tmp_path)]


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    code = (
        "import os, subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(file)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(600)"
    )
    started = threading.Event()

    def beat() -> bool:
        if file.exists() and file.read_text():
            started.set()
        return started.is_set()  # ended by hand once its child is there, however slow this machine is

    ran = get_runner("local").run(python(code, timeout=120), beat)
    assert ran.exit_code is None
    assert "timed out" in ran.summary
    child = int(file.read_text())
    wait_until(lambda: not is_alive(child), 20, lambda: f"child {child} still runs")


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def test_time_is_up_without_anybody_asking() -> None:
    ran = get_runner("local").run(python("import time; time.sleep(600)", timeout=0.3))
    assert ran.exit_code is None
    assert ran.seconds < 300


def test_a_command_that_writes_much_is_not_held_up() -> None:
    ran = get_runner("local").run(python("print('x' * 5_000_000); print('the end\\0')"))
    assert ran.ok
    assert len(ran.stdout) == KEPT
    assert ran.stdout.endswith("the end\N{REPLACEMENT CHARACTER}\n")


@pytest.mark.parametrize("argv", [["there-is-no-such-program"], [], ["/"], ["a\0b"]])
def test_what_is_no_program_is_refused(argv: list[str]) -> None:
    with pytest.raises(RunnerRefused):
        get_runner("local").run(Command(argv=argv, timeout=5))


def test_local_runs_here_only() -> None:
    with pytest.raises(RunnerRefused, match="use 'ssh'"):
        get_runner("local").run(Command(argv=["true"], timeout=5, target="db-1"))


def test_a_runner_has_to_be_allowed(settings: Any) -> None:
    settings.OPS_RUNNERS = []
    with pytest.raises(RunnerRefused, match="OPS_RUNNERS=local"):
        get_runner("local")


@pytest.mark.parametrize("name", ["nowhere.Runner", "automation.errors.WeirError"])
def test_a_runner_that_is_none_is_a_bad_setting(settings: Any, name: str) -> None:
    settings.OPS_RUNNERS = [name]
    with pytest.raises(ImproperlyConfigured, match="OPS_RUNNERS"):
        get_runner(name)


# -- ssh ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `ssh` that writes down what it was given, and has a shell run the line, as the one at the other end does."""
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        f'printf "%s\\n" "$@" > {tmp_path}/given\n'
        'for last; do :; done\ncase "$*" in *unreachable*) echo "no route to host" >&2; exit 255;; esac\n'
        'exec sh -c "$last"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_ssh_quotes_what_the_other_shell_reads(ssh: Path) -> None:
    command = Command(
        argv=["printf", "%s|", "a b", "$HOME", "it's", "; rm -rf x"],
        timeout=60,
        target="deploy@web-1",
        env={"COLOUR": "dark blue"},
        cwd="/",
    )
    ran = get_runner("ssh").run(command)
    assert ran.stdout == "a b|$HOME|it's|; rm -rf x|"
    given = (ssh / "given").read_text().splitlines()
    assert given[0] == "-T"
    assert "BatchMode=yes" in given
    assert given[-2] == "deploy@web-1"
    assert given[-1].startswith("cd / && env 'COLOUR=dark blue' printf ")


def test_ssh_hands_the_environment_on(ssh: Path) -> None:
    ran = get_runner("ssh").run(
        Command(argv=["sh", "-c", "echo $COLOUR"], timeout=60, target="web-1", env={"COLOUR": "dark blue"})
    )
    assert ran.stdout == "dark blue\n"


def test_a_remote_failure_is_the_commands(ssh: Path) -> None:
    assert get_runner("ssh").run(Command(argv=["sh", "-c", "exit 4"], timeout=60, target="web-1")).exit_code == 4


def test_a_host_that_cannot_be_reached_is_tried_again(ssh: Path) -> None:
    with pytest.raises(RunnerFailed, match="no route to host"):
        get_runner("ssh").run(Command(argv=["true"], timeout=60, target="unreachable"))


@pytest.mark.parametrize("target", ["", "-oProxyCommand=evil", "a b", "host;ls", "user@-x", "@host"])
def test_a_target_that_is_no_host_is_refused(ssh: Path, target: str) -> None:
    with pytest.raises(RunnerRefused, match="no host"):
        get_runner("ssh").run(Command(argv=["true"], timeout=60, target=target))
    assert not (ssh / "given").exists()


def test_a_variable_that_is_none_is_refused(ssh: Path) -> None:
    with pytest.raises(RunnerRefused, match="environment variable"):
        get_runner("ssh").run(Command(argv=["true"], timeout=60, target="web-1", env={"A=B; x": "1"}))


def test_no_ssh_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunnerRefused, match="no ssh on the PATH"):
        get_runner("ssh").run(Command(argv=["true"], timeout=60, target="web-1"))
