"""R8, R9 and R11: poison rows, too many errors, repeated ids and useless predictions."""

import math

import pytest
from batch_jobs import csv_text, predictions, table

from rounds.testing import requirement


def most_calls(size, poison=1):
    """Return how many calls a chunk may take."""
    return poison * (2 + 2 * math.ceil(math.log2(size)))


# --- R8


@requirement("R8")
@pytest.mark.parametrize(("size", "row"), [(1000, 999), (1000, 624), (1000, 0), (2, 1), (257, 256)])
def test_one_poison_row_costs_one_row_and_few_calls(bench, size, row):
    rows = table(size)
    bench.write(csv_text(rows))
    report = bench.run({"chunk_size": size}, model={"poison": [row]})
    bench.check_faults({row + 1: (f"c{row:04}", "prediction_failed")}, f"poison in row {row + 1} of a chunk of {size}")
    bench.check_output(predictions(rows, {row}), f"poison in row {row + 1} of a chunk of {size}")
    calls, most = len(bench.calls()), most_calls(size)
    assert calls <= most, (
        f"one poison row in a chunk of {size}: predict was called {calls} times; at most {most} are allowed"
    )
    assert report["n_output"] == size - 1, f"n_output should be {size - 1}, and was {report['n_output']}"


@requirement("R8")
def test_a_chunk_of_one_poison_row(bench):
    rows = table(3)
    bench.write(csv_text(rows))
    bench.run({"chunk_size": 1}, model={"poison": [1]})
    bench.check_faults({2: ("c0001", "prediction_failed")}, "poison in the second of three chunks of 1")
    bench.check_output(predictions(rows, {1}), "poison in the second of three chunks of 1")
    found = [call[0] for call in bench.calls()]
    assert found.count(1) <= 2, f"a chunk of one poison row may take 2 calls; predict got the rows {found}"


@requirement("R8")
@pytest.mark.parametrize("error", ["OddFailure", "StopIteration", "OSError"])
def test_any_exception_counts(bench, error):
    rows = table(20)
    bench.write(csv_text(rows))
    bench.run({"chunk_size": 10}, model={"poison": [13], "error": error})
    bench.check_faults({14: ("c0013", "prediction_failed")}, f"{error} because of row 14")
    bench.check_output(predictions(rows, {13}), f"{error} because of row 14")


@requirement("R8")
@pytest.mark.parametrize("poison", [(3, 4), (0, 255), (0, 1, 2, 3, 128)])
def test_several_poison_rows_in_a_chunk(bench, poison):
    rows = table(256)
    bench.write(csv_text(rows))
    bench.run({"chunk_size": 256}, model={"poison": list(poison)})
    expected = {row + 1: (f"c{row:04}", "prediction_failed") for row in poison}
    bench.check_faults(expected, f"poison at the places {poison} of a chunk of 256")
    bench.check_output(predictions(rows, poison), f"poison at the places {poison} of a chunk of 256")
    calls, most = len(bench.calls()), most_calls(256, len(poison))
    assert calls <= most, (
        f"{len(poison)} poison rows in a chunk of 256: {calls} calls of predict; at most {most} are allowed"
    )


@requirement("R8")
def test_the_other_chunks_take_one_call_each(bench):
    rows = table(320)
    bench.write(csv_text(rows))
    bench.run({"chunk_size": 32}, model={"poison": [70]})
    spared = [call for call in bench.calls() if not 64 <= call[0] < 96]
    expected = [list(range(start, start + 32)) for start in range(0, 320, 32) if start != 64]
    assert spared == expected, f"poison in chunk 3 of 10: the other nine took {len(spared)} calls"
    bench.check_output(predictions(rows, {70}), "poison in chunk 3 of 10")


@requirement("R8")
def test_poison_in_several_chunks(bench):
    rows = table(100)
    bench.write(csv_text(rows))
    poison = [0, 9, 10, 55, 99]
    bench.run({"chunk_size": 10}, model={"poison": poison})
    bench.check_output(predictions(rows, poison), f"poison at the places {poison}, chunks of 10")
    bench.check_faults(
        {row + 1: (f"c{row:04}", "prediction_failed") for row in poison}, f"poison at the places {poison}"
    )


@requirement("R8")
def test_the_number_of_a_poison_row_counts_bad_rows_too(bench):
    rows = table(20)
    rows[1][2] = rows[6][2] = ""
    bench.write(csv_text(rows))
    bench.run({"chunk_size": 6}, model={"poison": [8]})
    found = bench.faults().get(9, "no error")
    assert found == ("c0008", "prediction_failed"), f"poison in row 9, after two bad rows: the error file has {found}"


# --- R9


@requirement("R9")
@pytest.mark.parametrize(
    ("bad", "rate", "aborts"),
    [(25, 0.25, False), (26, 0.25, True), (1, 0.0, True), (0, 0.0, False), (100, 1.0, False)],
)
def test_the_share_over_the_whole_input_decides(bench, bad, rate, aborts):
    rows = table(100)
    for place in range(bad):
        rows[place * 7 % 100][1 + place % 2] = "x"
    bench.write(csv_text(rows))
    ended = bench.interrupted({"chunk_size": 10, "max_error_rate": rate})
    wanted = "BatchAborted" if aborts else ""
    situation = f"{bad} bad rows of 100, max_error_rate {rate}"
    assert ended == wanted, f"{situation}: {ended or 'nothing'} was raised, and {wanted or 'nothing'} was expected"
    assert (bench.bytes() is None) is aborts, f"{situation}: output_path is {'there' if aborts else 'absent'}"


@requirement("R9")
def test_the_default_limit_is_a_tenth(bench):
    rows = table(100)
    for place in range(11):
        rows[place][2] = ""
    bench.write(csv_text(rows))
    with pytest.raises(bench.submission.BatchAborted):
        bench.run({"max_error_rate": None})
    rows[0][2] = rows[1][2] = "1"
    bench.write(csv_text(rows))
    bench.run({"max_error_rate": None})
    bench.check_output(predictions(rows, range(2, 11)), "nine bad rows of 100")


@requirement("R9")
@pytest.mark.parametrize("where", [0, 90])
def test_a_cluster_of_bad_rows_does_not_abort(bench, where):
    rows = table(100)
    for place in range(where, where + 9):
        rows[place][1] = "x"
    bench.write(csv_text(rows))
    ended = bench.interrupted({"chunk_size": 5, "max_error_rate": 0.1})
    assert not ended, f"rows {where + 1} to {where + 9} of 100 are bad, 0.1 is allowed, and {ended} was raised"
    bench.check_output(predictions(rows, range(where, where + 9)), "nine bad rows in a cluster")


@requirement("R9")
@pytest.mark.parametrize("kind", ["prediction_failed", "invalid_prediction", "duplicate_id", "missing_id", "together"])
def test_every_reason_counts(bench, kind):
    rows, model = table(100), {}
    if kind in ("prediction_failed", "together"):
        model["poison"] = list(range(60, 66))
    if kind in ("invalid_prediction", "together"):
        model["replaced"] = dict.fromkeys(range(20, 26), "nan")
    if kind in ("duplicate_id", "missing_id"):
        for place in range(40, 46):
            rows[place][0] = "" if kind == "missing_id" else rows[46][0]
    bench.write(csv_text(rows))
    rate = 0.11 if kind == "together" else 0.05
    ended = bench.interrupted({"chunk_size": 10, "max_error_rate": rate}, **model)
    assert ended == "BatchAborted", (
        f"a larger share than {rate} has an error ({kind}), and {ended or 'nothing'} was raised"
    )
    assert bench.bytes() is None, "the run aborted, and there is an output file"


@requirement("R9")
def test_an_abort_leaves_output_and_manifest_as_they_were(bench):
    bench.write(csv_text(table(50, 1)))
    bench.run({"chunk_size": 10})
    before = [bench.bytes(), bench.bytes(bench.manifest)]
    rows = table(50, 2)
    for place in range(20):
        rows[place][2] = "x"
    bench.write(csv_text(rows))
    with pytest.raises(bench.submission.BatchAborted):
        bench.run({"chunk_size": 10, "max_error_rate": 0.3})
    assert bench.bytes() == before[0], "a run aborted, and the previous output is not what it was"
    assert bench.bytes(bench.manifest) == before[1], "a run aborted, and the previous manifest is not what it was"


@requirement("R9")
def test_a_first_run_that_aborts_leaves_no_manifest(bench):
    bench.write(csv_text([[row[0], "x", row[2]] for row in table(20)]))
    with pytest.raises(bench.submission.BatchAborted):
        bench.run({"max_error_rate": 0.5})
    assert bench.bytes(bench.manifest) is None, "a run aborted, and there is a manifest"


@requirement("R9")
@pytest.mark.parametrize("kind", ["not_a_number", "prediction_failed"])
def test_an_abort_leaves_the_errors_for_diagnosis(bench, kind):
    rows, model = table(100), {}
    places = range(30, 60)
    if kind == "prediction_failed":
        model = {"poison": list(places)}
    else:
        for place in places:
            rows[place][1] = "x"
    bench.write(csv_text(rows))
    ended = bench.interrupted({"chunk_size": 10, "max_error_rate": 0.2}, **model)
    assert ended == "BatchAborted", f"three of ten rows have an error, and {ended or 'nothing'} was raised"
    found = bench.faults()
    assert len(found) > 20, (
        f"the error file should show that more than 20 of 100 rows have errors, and has {len(found)} rows"
    )
    true = {place + 1: (f"c{place:04}", kind) for place in places}
    false = {row: fault for row, fault in found.items() if true.get(row) != fault}
    assert not false, f"after an abort the error file holds rows that are not right: {dict(list(false.items())[:5])}"


@requirement("R9")
def test_a_model_that_was_down_is_asked_again(bench):
    rows = table(60)
    bench.write(csv_text(rows))
    settings = {"chunk_size": 10, "max_error_rate": 0.1}
    ended = bench.interrupted(settings, down=True)
    assert ended == "BatchAborted", f"predict raised for every row, and {ended or 'nothing'} was raised"
    report = bench.run(settings)
    assert report["n_errors"] == 0, f"the model is back, and {report['n_errors']} rows still have an error"
    bench.check_output(predictions(rows), "a run with a model that is back, after one that aborted")
    bench.check_faults({}, "a run with a model that is back, after one that aborted")


# --- R11


@requirement("R11")
@pytest.mark.parametrize("size", [1, 4, 100])
def test_a_repeated_id_keeps_its_first_row(bench, seed, size):
    rows = table(40, seed)
    twins = {1: 0, 7: 2, 20: 3, 39: 38, 30: 0}
    for later, first in twins.items():
        rows[later][0] = rows[first][0]
    bench.write(csv_text(rows))
    bench.run({"chunk_size": size})
    expected = {later + 1: (rows[first][0], "duplicate_id") for later, first in twins.items()}
    bench.check_faults(expected, f"ids that come again, chunks of {size}")
    bench.check_output(predictions(rows, twins), f"ids that come again, chunks of {size}")


@requirement("R11")
def test_a_duplicate_never_reaches_predict(bench):
    rows = table(12)
    for place in (3, 4, 9):
        rows[place][0] = rows[1][0]
    bench.write(csv_text(rows))
    bench.run({"chunk_size": 3})
    found = [row for call in bench.calls() for row in call]
    assert found == [0, 1, 2, 5, 6, 7, 8, 10, 11], f"places 3, 4 and 9 repeat an id, and predict got the rows {found}"


@requirement("R11")
def test_ids_are_compared_as_text(bench):
    identifiers = ["c7", "c007", "C7", "c7.0", "a", "á", "a,b"]
    rows = [[identifier, str(place), "1"] for place, identifier in enumerate(identifiers)]
    bench.write(csv_text(rows))
    bench.run({"chunk_size": 3})
    bench.check_faults({}, f"the ids {identifiers}, all of them different")
    bench.check_output(predictions(rows), f"the ids {identifiers}, all of them different")


@requirement("R11")
@pytest.mark.parametrize("stop", ["KeyboardInterrupt", "kill"])
def test_a_duplicate_is_found_after_a_resume(bench, stop):
    rows = table(60)
    twins = {45: 2, 25: 13, 59: 31}
    for later, first in twins.items():
        rows[later][0] = rows[first][0]
    bench.write(csv_text(rows))
    bench.interrupted({"chunk_size": 10}, stop=stop, stop_at=3)
    bench.run({"chunk_size": 10})
    found = {tuple(row) for row in bench.records(bench.errors, "row,id,reason")}
    expected = {(str(later + 1), rows[first][0], "duplicate_id") for later, first in twins.items()}
    assert found == expected, f"ids of finished chunks come again after a resume; the error file should hold {expected}"
    bench.check_output(predictions(rows, twins), "ids of finished chunks that come again after a resume")


@requirement("R11")
@pytest.mark.parametrize(("value", "answer"), [("nan", "array"), ("nan", "list"), ("inf", "array"), ("-inf", "list")])
def test_a_prediction_that_is_not_finite_is_an_error_of_its_row(bench, value, answer):
    rows = table(30)
    bench.write(csv_text(rows))
    bench.run({"chunk_size": 10}, model={"replaced": {0: value, 14: value, 19: value}, "answer": answer})
    expected = {place + 1: (f"c{place:04}", "invalid_prediction") for place in (0, 14, 19)}
    bench.check_faults(expected, f"a model that says {value} to three rows of 30")
    bench.check_output(predictions(rows, {0, 14, 19}), f"a model that says {value} to three rows of 30")


@requirement("R11")
@pytest.mark.parametrize(("how", "chunk"), [("fewer", 0), ("more", 1), ("none", 2), ("fewer", 2)])
def test_a_wrong_number_of_predictions_costs_the_chunk(bench, how, chunk):
    rows = table(24)
    places = range(10 * chunk, min(10 * chunk + 10, 24))
    bench.write(csv_text(rows))
    report = bench.run({"chunk_size": 10}, model={"stretched": dict.fromkeys(places, how)})
    expected = {place + 1: (f"c{place:04}", "invalid_prediction") for place in places}
    bench.check_faults(expected, f"a model that returns {how} values for chunk {chunk + 1} of 3")
    bench.check_output(predictions(rows, places), f"a model that returns {how} values for chunk {chunk + 1} of 3")
    found = {reason: count for reason, count in report["errors_by_reason"].items() if count}
    assert found == {"invalid_prediction": len(places)}, f"errors_by_reason is {found}, of {len(places)} rows"
