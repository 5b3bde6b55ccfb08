"""The benchmarks' own tools: a wrong ruler measures everything wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import marks, usage
from bench.measures import Target


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> marks.Marks:
    monkeypatch.setenv(marks.VARIABLE, str(tmp_path / "marks"))
    monkeypatch.setattr(marks, "_descriptor", None)
    return marks.Marks(tmp_path / "marks")


def test_it_reads_the_marks_that_were_written_in_their_order(pipe: marks.Marks) -> None:
    before = time.time()
    for number in range(5000):
        marks.write(number)
    read = pipe.collect(5000, timeout=5)
    assert [mark.value for mark in read] == list(range(5000))
    assert before <= read[0].at <= read[-1].at <= time.time()


def test_it_leaves_marks_beyond_the_count_for_the_next_reader(pipe: marks.Marks) -> None:
    for number in range(3):
        marks.write(number)
    assert [mark.value for mark in pipe.collect(2, timeout=1, patient=False)] == [0, 1]
    assert pipe.drain() == 1


def test_it_says_how_many_were_missing_when_the_time_is_up(pipe: marks.Marks) -> None:
    marks.write()
    with pytest.raises(TimeoutError, match="1 of 2 were done"):
        pipe.collect(2, timeout=0.05)


def test_it_counts_the_cpu_of_children_that_ended() -> None:
    spin = "import time\nwhile time.process_time() < 0.3: pass"
    nested = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin!r}]); print('done', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", nested], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        # The kernel counts a process's user and system time in whole ticks, each rounded down.
        assert 0.3 - 4 * usage.TICK <= usage.cpu(process.pid) < 3
        process.communicate("\n")


def test_it_sees_memory_that_was_taken_and_given_back() -> None:
    with usage.MemoryWatch([os.getpid()], interval=0.01) as watch:
        taken = bytearray(os.urandom(1024) * 30_000)
        time.sleep(0.2)  # the watch looks meanwhile; there is no condition to wait for but its next look
        del taken
    assert 25e6 < watch.growth < 60e6


@pytest.mark.parametrize(
    ("target", "value", "held"),
    [
        (Target("faster", "rate", 2.5, at_least=True, peer="raw"), 3.0, True),
        (Target("much faster", "rate", 3.5, at_least=True, peer="raw"), 3.0, False),
        (Target("absolute", "p50", 30.0), 5.0, True),
        (Target("over its own", "last", 1.5, over="first"), 2.0, False),
        (Target("unmeasured peer", "rate", 1.8, at_least=True, peer="tuned"), None, None),
    ],
)
def test_it_compares_weir_with_its_peer(target: Target, value: float | None, held: bool | None) -> None:
    medians = {"weir": {"rate": 300.0, "p50": 5.0, "first": 1.0, "last": 2.0}, "raw": {"rate": 100.0}}
    assert target.value(medians) == value
    if value is not None:
        assert target.held(value) is held
