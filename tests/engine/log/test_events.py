"""The log of events: nothing that was written is lost, and nothing that is wrong is taken."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from autoreg.engine import Engine, Problem, Result, Strategy
from autoreg.engine.log.events import EventLog, encode, read_events
from autoreg.engine.outcome import MAX_REASON
from autoreg.errors import AutoregError, StudyError
from autoreg.trial_info import TrialInfo
from tests.engine.problems import toy_space


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def filled(path: Path, count: int = 3) -> bytes:
    with EventLog(path) as log:
        for k in range(count):
            log.append({"event": "ask", "trial": k})
    return path.read_bytes()


def test_events_come_back_in_order(path: Path) -> None:
    filled(path)
    assert [e["trial"] for e in read_events(path)] == [0, 1, 2]
    with EventLog(path) as log:
        assert [e["trial"] for e in log.events] == [0, 1, 2]


def test_a_log_without_a_path_stays_in_memory() -> None:
    log = EventLog()
    recorded = log.append({"event": "ask", "config": {"a": (1, 2)}})
    assert recorded == {"event": "ask", "config": {"a": [1, 2]}}
    assert log.events == [recorded]


def test_a_log_without_events_is_a_log() -> None:
    """So that `log or EventLog()` takes the log that is given."""
    log = EventLog()
    assert len(log) == 0
    assert (log or EventLog()) is log


def test_every_torn_tail_is_dropped_and_the_rest_kept(path: Path) -> None:
    """Cut anywhere, the log holds exactly the lines that were finished, and takes new ones."""
    whole = filled(path)
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        finished = whole[:cut].count(b"\n")
        assert len(read_events(path)) == finished
        with EventLog(path) as log:
            assert len(log) == finished
            log.append({"event": "tell", "trial": 9})
        assert [e["event"] for e in read_events(path)] == ["ask"] * finished + ["tell"]


def test_a_last_line_that_is_no_event_is_dropped(path: Path) -> None:
    whole = filled(path)
    path.write_bytes(whole + b"\x00\x00\x00\n")
    with EventLog(path) as log:
        assert len(log) == 3
    assert path.read_bytes() == whole


@pytest.mark.parametrize("line", [b"{broken", b"[1]", b'{"kind":"ask"}', b"\xff\xfe", b"", b"[" * 100_000])
def test_a_wrong_line_in_the_middle_is_named(path: Path, line: bytes) -> None:
    lines = filled(path).split(b"\n")
    path.write_bytes(b"\n".join([lines[0], line, *lines[1:]]))
    before = path.read_bytes()
    with pytest.raises(StudyError, match=r"events\.jsonl:2: this line is no event"):
        EventLog(path)
    with pytest.raises(StudyError, match=r"events\.jsonl:2"):
        read_events(path)
    assert path.read_bytes() == before, "a log that cannot be read is left as it is"


def test_one_log_has_one_writer(path: Path) -> None:
    with EventLog(path), pytest.raises(StudyError, match="another process is writing"):
        EventLog(path)
    EventLog(path).close()


def test_numbers_that_are_not_finite_become_null_and_are_named() -> None:
    line = encode({"event": "tell", "metrics": {"error": float("nan"), "flops": float("inf"), "ok": np.float32(0.5)}})
    assert line == (
        '{"event":"tell","metrics":{"error":null,"flops":null,"ok":0.5},'
        '"nonfinite":{"metrics.error":"nan","metrics.flops":"inf"}}'
    )


def test_what_is_no_json_is_refused_by_its_place(path: Path) -> None:
    with EventLog(path) as log:
        with pytest.raises(TypeError, match=r"info\.model"):
            log.append({"event": "tell", "info": {"model": object()}})
        assert len(log) == 0
    assert path.read_bytes() == b""


def test_a_full_disk_loses_nothing_earlier(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The write fails half way; the half line is taken back and the log goes on once there is room."""
    real, room = os.write, [5]

    def nearly_full(file: int, content: bytes) -> int:
        if room[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part, room[0] = content[: room[0]], 0
        return real(file, part)

    with EventLog(path) as log:
        log.append({"event": "ask", "trial": 0})
        before = path.read_bytes()
        monkeypatch.setattr(os, "write", nearly_full)
        with pytest.raises(AutoregError, match=r"No space left on device.*earlier events are kept"):
            log.append({"event": "ask", "trial": 1})
        assert path.read_bytes() == before
        assert len(log) == 1
        monkeypatch.undo()
        log.append({"event": "ask", "trial": 1})
    assert [e["trial"] for e in read_events(path)] == [0, 1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_really_full_device_gives_the_same_error(path: Path) -> None:
    with EventLog(path) as log:
        full = os.open("/dev/full", os.O_WRONLY)
        intact, log._file = log._file, full
        try:
            with pytest.raises(AutoregError, match="No space left on device"):
                log.append({"event": "ask", "trial": 0})
        finally:
            log._file = intact
            os.close(full)


def test_a_closed_log_says_so(path: Path) -> None:
    log = EventLog(path)
    log.close()
    with pytest.raises(StudyError, match="was closed"):
        log.append({"event": "ask"})


def test_a_missing_log_is_a_study_error(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="cannot read the events"):
        read_events(tmp_path / "none.jsonl")
    with pytest.raises(StudyError, match="cannot open the events"):
        EventLog(tmp_path / "no" / "folder.jsonl")


def test_a_lone_surrogate_in_an_error_text_ends_neither_the_writer_nor_a_resume(path: Path) -> None:
    """Python puts one into the name of a file that is no UTF-8; an error message with such a name cannot be encoded."""
    reason = "cannot read " + os.fsdecode(b"caf\xe9.png")
    for _ in range(2):
        with EventLog(path) as log:
            engine = Engine(Problem(toy_space(), {"error": "min"}, "error"), log=log, strategy=Strategy("random"))
            ask = engine.ask()
            assert ask is not None
            engine.tell(ask.number, Result("FAIL", reason=reason, info=TrialInfo(user={reason: [reason]})))
    read = [e for e in read_events(path) if e["event"] == "tell"]
    assert [e["reason"] for e in read] == ["cannot read caf\\udce9.png"] * 2
    assert engine.trials()[0].reason == read[0]["reason"]


def test_a_log_that_holds_the_escape_of_a_lone_surrogate_is_read_and_can_be_written_again(path: Path) -> None:
    path.write_bytes(b'{"event":"note","\\udce9":["\\uDCE9 and \\ud83d\\ude00"]}\n')
    (event,) = read_events(path)
    assert event == {"event": "note", "\\udce9": ["\\udce9 and \N{GRINNING FACE}"]}
    with EventLog(path) as log:
        assert log.append(log.events[0]) == event


def test_a_reason_is_bounded() -> None:
    engine = Engine(Problem(toy_space(), {"error": "min"}, "error"), strategy=Strategy("random"))
    ask = engine.ask()
    assert ask is not None
    engine.tell(ask.number, Result("FAIL", reason="x" * 10 * MAX_REASON))
    assert len(engine.trials()[0].reason or "") == MAX_REASON
