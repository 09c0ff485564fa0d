"""R5, R6, R7 and R13: kills, full disks, repeats, and the seal on what is published."""

import hashlib
import json

import pytest
from batch_jobs import csv_text, table

from rounds.testing import requirement

TEN = {"chunk_size": 10}
STOPS = ["KeyboardInterrupt", "SystemExit", "kill"]
SMALL = {"feature_names": ["a", "b"], "chunk_size": 4, "max_error_rate": 1.0}


def faulty(count=100, seed=0):
    """Return rows of which some are bad: places 2 and 13 by their text, 25 by its id."""
    rows = table(count, seed)
    rows[2][1], rows[13][2], rows[25][0] = "x", "", ""
    return rows


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def seal_problem(output, manifest):
    """Return what is wrong with a manifest beside an output (bytes, None if absent), "" if nothing is."""
    if manifest is None:
        return ""
    if output is None:
        return "there was a manifest, and no output"
    named = json.loads(manifest).get("output_sha256")
    return "" if named == sha256(output) else "the manifest had the output_sha256 of another file than the one there"


def uninterrupted(bench, rows, settings, model=None):
    """Return output and errors of the same job under another name, never interrupted."""
    before, bench.output = (bench.output, bench.errors, bench.manifest), "whole.csv"
    bench.run(settings, model=model)
    bench.output, bench.errors, bench.manifest = before
    return [bench.bytes("whole.csv"), bench.bytes("whole.csv.errors.csv")]


def after_kills_everywhere(bench, model=None, points=28):
    """Kill a second run at many file operations; yield (place, left output, left manifest, first, second output)."""
    model = {"poison": [6], **(model or {})}
    texts = [csv_text(rows) for rows in (table(14, 1), [*table(13, 2), ["bad", "", "1"]])]
    for name, text in zip(("first", "second"), texts, strict=True):
        bench.write(text)
        bench.output = f"{name}.csv"
        bench.run({"chunk_size": 4}, model=model)
    outputs = [bench.bytes("first.csv"), bench.bytes("second.csv")]
    numbers = bench.props.kill_everywhere(bench.submission, bench.at("kills"), texts, SMALL, model, points)
    assert numbers, "the run made no change to any file"
    for number in numbers:
        place = f"kills/{number}"
        yield place, bench.bytes(f"{place}/left/out.csv"), bench.bytes(f"{place}/left/out.csv.manifest.json"), outputs


# --- R5


@requirement("R5")
@pytest.mark.parametrize("stop", STOPS)
def test_an_interrupted_first_run_publishes_nothing(bench, stop):
    bench.write(csv_text(table(100)))
    ended = bench.interrupted(TEN, stop=stop, stop_at=7)
    assert ended == (9 if stop == "kill" else stop), (
        f"the model ended the run with {stop}, and what came out is {ended!r}"
    )
    assert bench.bytes() is None, f"{stop} in chunk 7 of 10 left {len(bench.bytes())} bytes at output_path"


@requirement("R5")
@pytest.mark.parametrize(("stop", "call"), [("KeyboardInterrupt", 1), ("SystemExit", 7), ("kill", 10)])
def test_an_interrupted_run_leaves_the_previous_file(bench, stop, call):
    bench.write(csv_text(table(100, 1)))
    bench.run(TEN)
    before = bench.bytes()
    bench.write(csv_text(table(100, 2)))
    ended = bench.interrupted(TEN, stop=stop, stop_at=call)
    assert ended == (9 if stop == "kill" else stop), (
        f"the model ended the run with {stop}, and what came out is {ended!r}"
    )
    assert bench.bytes() == before, (
        f"{stop} in chunk {call} of a run with new input, and the previous output has changed"
    )


@requirement("R5")
def test_an_interrupt_while_a_failure_is_looked_into_escapes(bench):
    bench.write(csv_text(table(64)))
    ended = bench.interrupted({"chunk_size": 32}, stop_at=2, poison=[5])
    assert ended == "KeyboardInterrupt", f"KeyboardInterrupt came while a poison row was sought, and {ended!r} came out"
    assert bench.bytes() is None, "and there is an output file"


@requirement("R5")
def test_output_is_absent_while_the_first_run_predicts(bench):
    bench.write(csv_text(table(60)))
    bench.run(TEN, model={"watch": bench.at("out.csv")})
    seen = [content for _, content in bench.log()]
    assert set(seen) == {None}, f"while the first run predicted, output_path held {[s and s[:40] for s in seen]}"


@requirement("R5")
def test_output_is_the_previous_file_while_the_next_run_predicts(bench):
    bench.write(csv_text(table(60, 1)))
    bench.run(TEN)
    before = bench.bytes().decode()
    bench.write(csv_text(table(60, 2)))
    bench.run(TEN, model={"watch": bench.at("out.csv")})
    seen = [content for _, content in bench.log()]
    assert set(seen) == {before}, (
        f"while the second run predicted, output_path held {[s and len(s) for s in seen]} characters"
    )


@requirement("R5")
def test_a_reader_of_the_old_file_can_go_on_reading(bench):
    bench.write(csv_text(table(60, 1)))
    bench.run(TEN)
    before = bench.bytes()
    bench.props.keep_open(bench.at("out.csv"), bench.at("reader.csv"))
    bench.write(csv_text(table(60, 2)))
    bench.run(TEN)
    assert bench.bytes("reader.csv") == before, "the file that a reader had open was written into"


@requirement("R5")
@pytest.mark.parametrize("limit", [0, 900])
def test_a_full_disk_leaves_the_previous_file(bench, limit):
    bench.write(csv_text(table(100, 1)))
    bench.run({"chunk_size": 5})
    before = bench.bytes()
    bench.write(csv_text(table(100, 2)))
    raised = bench.on_a_full_disk(limit, {"chunk_size": 5})
    assert raised, f"no file could grow beyond {limit} bytes, which is less than the output, and nothing was raised"
    assert bench.bytes() == before, f"the disk was full ({limit} bytes per file), and the previous output has changed"


@requirement("R5")
@pytest.mark.parametrize("limit", [900])
def test_a_full_disk_leaves_no_first_file(bench, limit):
    bench.write(csv_text(table(100)))
    raised = bench.on_a_full_disk(limit, {"chunk_size": 5})
    assert raised, f"no file could grow beyond {limit} bytes, which is less than the output, and nothing was raised"
    assert bench.bytes() is None, f"the disk was full ({limit} bytes per file), and there is an incomplete output"


@requirement("R5")
@pytest.mark.limits(seconds=60)
def test_a_kill_between_file_operations_leaves_the_old_or_the_new_file(bench):
    for place, output, _, outputs in after_kills_everywhere(bench):
        assert output is not None, f"a run was killed ({place}), and the output of the run before is gone"
        assert output in outputs, f"a run was killed ({place}), and output_path holds neither the old nor the new file"


# --- R6


@requirement("R6")
@pytest.mark.parametrize("stop", ["KeyboardInterrupt", "kill"])
def test_only_the_rest_is_predicted(bench, stop):
    bench.write(csv_text(table(100)))
    bench.interrupted(TEN, stop=stop, stop_at=3)
    bench.run(TEN)
    found = bench.calls()
    expected = [list(range(start, start + 10)) for start in range(20, 100, 10)]
    starts = [call[0] for call in found]
    assert found == expected, (
        f"{stop} in chunk 3 of 10, then a repeat: it predicted {len(found)} chunks, from rows {starts}"
    )


@requirement("R6")
@pytest.mark.parametrize("stop", ["KeyboardInterrupt", "kill"])
def test_a_resumed_run_reports_what_it_took_over(bench, stop):
    bench.write(csv_text(table(100)))
    bench.interrupted(TEN, stop=stop, stop_at=3)
    report = bench.run(TEN)
    names = ("n_chunks", "n_chunks_resumed", "predict_calls", "n_input", "n_output", "n_errors", "skipped")
    found = {name: report[name] for name in names}
    expected = dict(zip(names, (10, 2, 8, 100, 100, 0, False), strict=True))
    assert found == expected, f"{stop} in chunk 3 of 10, then a repeat: the report says {found}"


@requirement("R6")
@pytest.mark.parametrize(("stop", "call"), [("KeyboardInterrupt", 3), ("kill", 10), ("kill", 1)])
def test_a_resumed_run_writes_the_same_bytes(bench, seed, stop, call):
    rows = faulty(seed=seed)
    bench.write(csv_text(rows))
    model = {"poison": [88], "replaced": {17: "nan", 60: "inf"}}
    expected = uninterrupted(bench, rows, TEN, model)
    bench.interrupted(TEN, stop=stop, stop_at=call, **model)
    bench.run(TEN, model=model)
    found = [bench.bytes(), bench.bytes(bench.errors)]
    assert found[0] == expected[0], f"{stop} in call {call}, then a repeat: the output is not that of a run in one go"
    assert found[1] == expected[1], (
        f"{stop} in call {call}, then a repeat: the error file is not that of a run in one go"
    )


@requirement("R6")
@pytest.mark.parametrize(("stop", "call"), [("KeyboardInterrupt", 8), ("kill", 5), ("kill", 11)])
def test_a_kill_in_the_middle_of_a_chunk_with_failures_tears_nothing(bench, stop, call):
    rows = faulty()
    bench.write(csv_text(rows))
    model = {"poison": [8, 39, 46]}  # the second and third chunk of 16 are halved again and again
    settings = {"chunk_size": 16}
    expected = uninterrupted(bench, rows, settings, model)
    bench.interrupted(settings, stop=stop, stop_at=call, **model)
    bench.run(settings, model=model)
    found = [bench.bytes(), bench.bytes(bench.errors)]
    assert found == expected, (
        f"{stop} in call {call}, while failures were looked into: output or errors are not as in one go"
    )


@requirement("R6")
def test_a_run_may_be_killed_again_and_again(bench):
    rows = faulty()
    bench.write(csv_text(rows))
    expected = uninterrupted(bench, rows, TEN)
    for _ in range(4):
        bench.interrupted(TEN, stop="kill", stop_at=3)
    report = bench.run(TEN)
    found = (report["n_chunks_resumed"], report["predict_calls"], report["n_output"])
    assert found == (8, 2, 97), (
        f"four runs, each ended in its third chunk, then one more: resumed, calls, output are {found}"
    )
    assert [bench.bytes(), bench.bytes(bench.errors)] == expected, (
        "after four kills, output or errors are not as in one go"
    )


@requirement("R6")
def test_errors_of_finished_chunks_are_not_lost(bench):
    rows = table(60)
    rows[1][2], rows[15][1] = "x", ""
    bench.write(csv_text(rows))
    bench.interrupted(TEN, stop="kill", stop_at=3)
    report = bench.run(TEN)
    expected = {2: ("c0001", "not_a_number"), 16: ("c0015", "missing_value")}
    bench.check_faults(expected, "a run that was killed after chunks with errors, and repeated")
    assert report["n_errors"] == 2, f"two rows are in the error file, and n_errors is {report['n_errors']}"


@requirement("R6")
@pytest.mark.parametrize("size", [5, 50])
def test_a_full_disk_tears_nothing(bench, size):
    rows = faulty()
    bench.write(csv_text(rows))
    settings = {"chunk_size": size}
    expected = uninterrupted(bench, rows, settings)
    for limit in (0, 30, 75, 100, 150, 250, 400, 600, 900, 1300, 1900):
        bench.output = f"limit-{limit}.csv"
        bench.on_a_full_disk(limit, settings)
        bench.run(settings)
        found = [bench.bytes(), bench.bytes(f"{bench.output}.errors.csv")]
        assert found == expected, (
            f"a run on a full disk ({limit} bytes per file), then one with room: output or errors are not as in one go"
        )


@requirement("R6")
@pytest.mark.limits(seconds=60)
def test_after_a_kill_between_file_operations_the_next_run_completes(bench):
    second = None
    for place, _, _, outputs in after_kills_everywhere(bench):
        second = second or [outputs[1], bench.bytes("second.csv.errors.csv")]
        found = [bench.bytes(f"{place}/out.csv"), bench.bytes(f"{place}/out.csv.errors.csv")]
        assert found == second, f"a run was killed between two file operations ({place}); the next did not put it right"


# --- R7


@requirement("R7")
@pytest.mark.parametrize("model", [{}, {"poison": [31], "replaced": {40: "nan"}}])
def test_a_repeat_is_skipped(bench, model):
    bench.write(csv_text(faulty()))
    first = bench.run(TEN, model=model)
    before = bench.published()
    second = bench.run(TEN, model={"down": True})
    calls = len(bench.log()) if bench.bytes(f"calls-{bench.runs}.log") else 0
    assert (calls, second["predict_calls"]) == (0, 0), f"a repeat of a finished run called predict {calls} times"
    assert second["skipped"] is True, f"a repeat of a finished run reported skipped={second['skipped']!r}"
    assert bench.published() == before, "a repeat of a finished run changed output, errors or manifest"
    for name in ("input_sha256", "output_sha256", "n_input", "n_output", "n_errors"):
        assert second[name] == first[name], (
            f"the first run reported {name}={first[name]!r}, the repeat {second[name]!r}"
        )


@requirement("R7")
def test_a_repeat_after_a_resumed_run_is_skipped(bench):
    bench.write(csv_text(faulty()))
    bench.interrupted(TEN, stop="kill", stop_at=3)
    bench.run(TEN)
    report = bench.run(TEN)
    found = (report["skipped"], report["predict_calls"], len(bench.calls()))
    assert found == (True, 0, 0), f"after a kill, a resumed run and a repeat: skipped, predict_calls, calls are {found}"


@requirement("R7")
def test_a_job_without_valid_rows_is_skipped_too(bench):
    bench.write("id,a,b\n")
    first = bench.run()
    second = bench.run()
    found = (first["skipped"], second["skipped"])
    assert found == (False, True), f"two runs over an input without rows reported skipped={found}"


CHANGES = {
    "model_version": {"model_version": "2"},
    "feature_names": {"feature_names": ["b", "a"]},
    "fewer features": {"feature_names": ["a"]},
    "chunk_size": {"chunk_size": 5},
    "id_column": {"id_column": "note"},
    "shard": {"shard": (0, 2)},
}


def noted(rows):
    return csv_text([[*row, f"n{row[1]}"] for row in rows], ("id", "a", "b", "note"))


def after_a_finished_and_after_a_killed_run(bench):
    """Run the job to its end, and the same elsewhere until chunk 8; yield which one output_path belongs to."""
    for what, stop_at in (("a run", 0), ("a killed run", 8)):
        bench.output = f"{what.split()[1]}.csv"
        bench.errors = f"{bench.output}.errors.csv"
        bench.interrupted(TEN, stop_at=stop_at)
    for what in ("a run", "a killed run"):
        bench.output = f"{what.split()[1]}.csv"
        bench.errors = f"{bench.output}.errors.csv"
        yield what


@requirement("R7")
@pytest.mark.parametrize("change", CHANGES)
def test_another_argument_computes_everything_anew(bench, change):
    bench.write(noted(table(100)))
    settings = {**TEN, **CHANGES[change]}
    expected = uninterrupted(bench, None, settings)
    for what in after_a_finished_and_after_a_killed_run(bench):
        report = bench.run(settings)
        calls = sum(len(call) for call in bench.calls())
        found = (report["skipped"], report["n_chunks_resumed"], calls)
        wanted = (False, 0, report["n_output"])
        assert found == wanted, f"{what}, then another {change}: skipped, resumed, rows predicted: {found}"
        result = [bench.bytes(), bench.bytes(bench.errors)]
        assert result == expected, f"{what}, then another {change}: the files are not those of the new job"


@requirement("R7")
@pytest.mark.parametrize("change", ["a feature", "a note", "one more row", "a bad cell", "the line ends"])
def test_another_byte_of_input_computes_everything_anew(bench, change):
    text = noted(table(100))
    altered = {
        "a feature": text.replace("c0099,99,", "c0099,98,"),
        "a note": text.replace(",n50\n", ",m50\n"),
        "one more row": text + "c0100,100,1,n100\n",
        "a bad cell": text.replace("c0003,3,", "c0003,x,"),
        "the line ends": text.replace("\n", "\r\n"),
    }[change]
    bench.write(text)
    for what in after_a_finished_and_after_a_killed_run(bench):
        bench.write(altered)
        report = bench.run(TEN)
        calls = sum(len(call) for call in bench.calls())
        found = (report["skipped"], report["n_chunks_resumed"], calls)
        wanted = (False, 0, report["n_output"])
        assert found == wanted, f"{what}, then {change} changed: skipped, resumed, rows predicted: {found}"
        assert report["input_sha256"] == sha256(altered.encode()), "the report has the hash of another input"


@requirement("R7")
@pytest.mark.parametrize("name", ["out.csv", "out.csv.errors.csv", "out.csv.manifest.json"])
def test_a_file_that_is_gone_comes_back(bench, name):
    bench.write(csv_text(faulty()))
    bench.run(TEN)
    before = bench.published()
    bench.props.remove(bench.at(name))
    report = bench.run(TEN)
    assert report["skipped"] is False, f"{name} was deleted, and the next run reported skipped={report['skipped']!r}"
    assert bench.published()[:2] == before[:2], (
        f"{name} was deleted, and the next run did not put output and errors right"
    )
    problem = seal_problem(bench.bytes(), bench.bytes(bench.manifest) or b"{}")
    assert not problem, f"{name} was deleted, and after the next run: {problem}"


@requirement("R7")
@pytest.mark.parametrize("name", ["out.csv", "out.csv.errors.csv"])
@pytest.mark.parametrize("how", ["a byte", "empty"])
def test_a_file_that_has_changed_is_put_right(bench, name, how):
    bench.write(csv_text(faulty()))
    bench.run(TEN)
    before = bench.published()
    content = bench.bytes(name)
    bench.scratch.write(
        name, {"a byte": content[:-3] + b"9" + content[-2:], "cut short": content[:60], "empty": b""}[how]
    )
    report = bench.run(TEN)
    assert report["skipped"] is False, f"{name} was altered ({how}), and the next run was skipped"
    assert bench.published()[:2] == before[:2], f"{name} was altered ({how}), and the next run did not put it right"


@requirement("R7")
@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_broken_manifest_counts_as_gone(bench, content):
    bench.write(csv_text(table(20)))
    bench.run(TEN)
    before = bench.bytes()
    bench.write(content, bench.manifest)
    report = bench.run(TEN)
    assert report["skipped"] is False, f"the manifest said {content!r}, and the next run was skipped"
    assert bench.seal()["output_sha256"] == sha256(before), f"the manifest said {content!r}, and was not put right"


# --- R13


@requirement("R13")
def test_the_manifest_says_what_the_report_says(bench):
    bench.write(csv_text(faulty()))
    report = bench.run({**TEN, "model_version": 'v1, "blue"'}, model={"poison": [31]})
    found = bench.seal()
    for name in ("input_sha256", "output_sha256", "n_input", "n_output", "n_errors"):
        assert found.get(name) == report[name], (
            f"the report says {name}={report[name]!r}, the manifest {found.get(name)!r}"
        )
    assert found.get("model_version") == 'v1, "blue"', (
        f"model_version in the manifest is {found.get('model_version')!r}"
    )
    assert found["output_sha256"] == sha256(bench.bytes()), "output_sha256 in the manifest is not that of the output"


@requirement("R13")
@pytest.mark.parametrize("name", ["scores", "scores.2026.csv"])
def test_the_manifest_stands_beside_the_output(bench, name):
    bench.write(csv_text(table(5)))
    bench.output, bench.manifest = name, f"{name}.manifest.json"
    bench.run(TEN)
    assert bench.bytes(bench.manifest), f"for {name} there is no {bench.manifest}, only {bench.scratch.files()}"


@requirement("R13")
def test_started_and_finished_enclose_the_predictions(bench):
    bench.write(csv_text(table(40)))
    clock = bench.props.Clock(5000.5)
    bench.run({**TEN, "clock": clock}, model={"clock": clock})
    found = [bench.seal().get(name) for name in ("started", "finished")]
    expected = [5000.5, clock.now]
    assert found == expected, (
        f"by the clock, predict began at {expected[0]} and ended at {expected[1]}; the manifest: {found}"
    )


@requirement("R13")
def test_a_later_run_has_times_of_its_own(bench):
    bench.write(csv_text(table(40)))
    for now, version in ((5000.0, "1"), (9000.0, "2")):
        clock = bench.props.Clock(now)
        bench.run({**TEN, "clock": clock, "model_version": version}, model={"clock": clock})
    found = [bench.seal().get(name) for name in ("started", "finished", "model_version")]
    expected = [9000.0, clock.now, "2"]
    assert found == expected, f"a second run said {found} in its manifest, and should say {expected}"


@requirement("R13")
@pytest.mark.parametrize("stop", ["KeyboardInterrupt", "kill"])
def test_an_interrupted_first_run_leaves_no_manifest(bench, stop):
    bench.write(csv_text(table(100)))
    bench.interrupted(TEN, stop=stop, stop_at=7)
    assert bench.bytes(bench.manifest) is None, f"{stop} in chunk 7 of a first run, and there is a manifest"


@requirement("R13")
@pytest.mark.parametrize("limit", [700, 1500, 2500])
def test_a_full_disk_leaves_no_manifest_of_what_is_not_there(bench, limit):
    bench.write(csv_text(table(100)))
    bench.on_a_full_disk(limit, {"chunk_size": 5})
    problem = seal_problem(bench.bytes(), bench.bytes(bench.manifest))
    assert not problem, f"after a run on a full disk ({limit} bytes per file) {problem}"


@requirement("R13")
@pytest.mark.limits(seconds=60)
def test_after_a_kill_between_file_operations_the_manifest_is_true_or_absent(bench):
    for place, output, manifest, _ in after_kills_everywhere(bench):
        problem = seal_problem(output, manifest)
        assert not problem, f"a run was killed between two file operations ({place}), and {problem}"
        later = seal_problem(bench.bytes(f"{place}/out.csv"), bench.bytes(f"{place}/out.csv.manifest.json") or b"{}")
        assert not later, f"a run was killed ({place}) and repeated, and {later}"
