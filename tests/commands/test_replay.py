"""Replays: the same trace, the same bytes."""

import gzip
import io
import json
from pathlib import Path

import pytest
import zstandard

from monitor import cli
from tests.commands.called import call

TRACES = Path(__file__).parents[1] / "traces"
SEED = TRACES / "seed-v1.5.7" / "trace.jsonl.zst"
UNCOVERED = 1795469290.03
HEADER = b'{"trace":1,"cluster":"c","started":100}\n'


def plain(trace: Path) -> bytes:
    with trace.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as stream:
        return io.BufferedReader(stream).read()


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "report.json"


@pytest.fixture
def events(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.mark.parametrize(
    ("options", "code", "verdicts"),
    [
        (["--until", UNCOVERED], 1, {"gap": 3, "covered": 2, "exempt": 2}),
        ([], 0, {"covered": 5, "exempt": 2}),
    ],
)
def test_the_exit_code_says_whether_gaps_are_open(
    options: list[object], code: int, verdicts: dict[str, int], report: Path
) -> None:
    assert cli.main(["replay", str(SEED), "--report", str(report), *map(str, options)]) == code
    found = [container["verdict"] for container in json.loads(report.read_bytes())["containers"]]
    assert {verdict: found.count(verdict) for verdict in found} == verdicts


def test_the_clock_stops_where_it_is_told_to(report: Path) -> None:
    cli.main(["replay", str(SEED), "--report", str(report), "--until", "1795469290"])
    assert json.loads(report.read_bytes())["at"] == "2026-11-23T21:28:10.000000Z"


@pytest.mark.parametrize("trace", ["seed-v1.5.7", "faults-v1.7.4"])
async def test_bytes_depend_on_the_trace_alone(trace: str, tmp_path: Path) -> None:
    seen = set()
    for seed, speed in (("0", "1e6"), ("1", "1e4"), ("2", "1e5")):
        report, events = tmp_path / f"{seed}.json", tmp_path / f"{seed}.jsonl"
        await call(
            "replay",
            TRACES / trace / "trace.jsonl.zst",
            "--speed",
            speed,
            "--report",
            report,
            "--events",
            events,
            PYTHONHASHSEED=seed,
        )
        seen.add((report.read_bytes(), events.read_bytes()))
    assert len(seen) == 1


def test_events_are_structured_cloudevents_with_their_topic(events: Path) -> None:
    cli.main(["replay", str(SEED), "--until", str(UNCOVERED), "--events", str(events)])
    gaps = [
        event
        for event in map(json.loads, events.read_text().splitlines())
        if event["topic"] == "kubearmor-monitor.gaps"
    ]
    assert [(gap["type"], gap["data"]["cause"]) for gap in gaps] == [
        ("kubearmor-monitor.gap.v1", "namespace-newer-than-policy")
    ] * 3


async def test_report_and_events_go_to_standard_output_for_a_dash() -> None:
    ended = await call("replay", SEED, "--report", "-")
    assert json.loads(ended.output)["cluster"] == "rig"
    ended = await call("replay", SEED, "--events", "-")
    assert all(json.loads(line)["specversion"] == "1.0" for line in ended.output.splitlines())


def test_people_get_counts_and_incidents(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay", str(SEED), "--until", str(UNCOVERED)]) == 1
    said = capsys.readouterr().out
    assert said.startswith("rig at 2026-11-23T21:28:10.030000Z: 3 gap · 2 covered · 2 exempt\n")
    assert said.count("namespace-newer-than-policy") == 4
    assert "what to do: Upgrade KubeArmor to v1.6.0 or later" in said


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_trace_may_be_plain_or_compressed(suffix: str, tmp_path: Path, report: Path) -> None:
    trace, expected = tmp_path / f"trace.jsonl{suffix}", tmp_path / "expected.json"
    text = plain(SEED)
    trace.write_bytes(gzip.compress(text) if suffix else text)
    cli.main(["replay", str(SEED), "--report", str(expected)])
    cli.main(["replay", str(trace), "--report", str(report)])
    assert report.read_bytes() == expected.read_bytes()


def test_a_damaged_line_is_named_with_file_line_and_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "trace.jsonl"
    trace.write_bytes(HEADER + b'{"at":101,"kind":"mark","text":"fine"}\n{"at":102,,}\n')
    assert cli.main(["replay", str(trace)]) == 2
    assert f"{trace}:3:11: " in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_what_is_not_compressed_as_its_name_says_is_named(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / f"trace.jsonl{suffix}"
    trace.write_bytes(HEADER)
    assert cli.main(["replay", str(trace)]) == 2
    assert f"{trace}: cannot be read to its end: " in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--report", "--events"])
def test_a_trace_is_not_written_over(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "trace.jsonl"
    trace.write_bytes(HEADER)
    (tmp_path / "link").symlink_to(trace)
    assert cli.main(["replay", str(trace), option, str(tmp_path / "link")]) == 2
    assert "is the trace itself: name another file" in capsys.readouterr().err
    assert trace.read_bytes() == HEADER


@pytest.mark.parametrize(
    "options",
    [
        ["--report", "-", "--events", "-"],
        ["--output", "json", "--events", "-"],
        ["--report", "both", "--events", "./both"],
    ],
)
def test_report_and_events_in_one_place_are_refused(
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["replay", str(SEED), *options]) == 2
    assert "report and events are two documents" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_report_can_be_printed_in_place_of_the_summary(
    report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["replay", str(SEED), "--output", "json", "--report", str(report)]) == 0
    assert capsys.readouterr().out == report.read_text()


@pytest.mark.parametrize("option", ["--report", "--events"])
def test_a_full_disk_is_named(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay", str(SEED), option, "/dev/full"]) == 3
    assert capsys.readouterr().err == (
        "kubearmor-monitor: /dev/full: cannot be written: No space left on device\n"
    )


def test_lenient_skips_damaged_lines_and_counts_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "trace.jsonl"
    trace.write_bytes(HEADER + b'{"at":101,\n\xff\n{"at":102,"kind":"mark","text":"fine"}\n')
    assert cli.main(["replay", str(trace), "--lenient"]) == 0
    said = capsys.readouterr()
    assert said.err == f"{trace}: 2 damaged lines were skipped\n"
    assert said.out == "c at 1970-01-01T00:01:42.000000Z: no running containers\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/nowhere/trace.jsonl"], "/nowhere/trace.jsonl: No such file or directory"),
        ([str(SEED), "--report", "/nowhere/r.json"], "/nowhere/r.json: No such file or directory"),
        ([str(SEED), "--speed", "0"], "not a number above 0: '0'"),
        ([str(SEED), "--speed", "fast"], "not a number above 0: 'fast'"),
        ([str(SEED), "--until", "now"], "not an instant in Unix seconds: 'now'"),
    ],
)
def test_what_cannot_be_used_is_named(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["replay", *arguments]) == 2
    assert said in capsys.readouterr().err
