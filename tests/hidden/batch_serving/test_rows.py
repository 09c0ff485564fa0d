"""R1 to R4: every row in its place, chunks, bad rows, and numbers that add up."""

import hashlib
import json
import math
from pathlib import Path

import pytest
from batch_jobs import FEATURES, csv_text, predictions, score, table

from rounds.testing import requirement

# --- R1


@requirement("R1")
@pytest.mark.parametrize("count", [1, 40])
def test_every_row_is_predicted_in_input_order(bench, seed, count):
    rows = table(count, seed)
    bench.write(csv_text(rows[::-1]))
    bench.run({"chunk_size": 6})
    bench.check_output(predictions(rows[::-1]), f"{count} valid rows in chunks of 6")


@requirement("R1")
@pytest.mark.parametrize("numeric", [True, False])
def test_an_id_is_text(bench, numeric):
    numbers = ["007", "42", "7", "1.50", "1e3", "0x1F", "12345678901234567890"]
    identifiers = numbers if numeric else ["NA", "null", "nan", "None", "True", *numbers]
    bench.write(csv_text([[identifier, str(i), "1"] for i, identifier in enumerate(identifiers)]))
    bench.run()
    found = [pair[0] for pair in bench.predicted()]
    assert found == identifiers, f"the ids {identifiers} came out as {found}"


@requirement("R1")
def test_a_quoted_id_comes_out_as_it_went_in(bench):
    identifiers = ["before", "Meyer, Anna", 'the "big" one', "two\nlines", "three\n\nlines\n", "Łódź 東京", "after"]
    rows = [[identifier, str(i), "1"] for i, identifier in enumerate(identifiers)]
    bench.write(csv_text(rows))
    bench.run({"chunk_size": 2})
    bench.check_output(predictions(rows), f"the ids {identifiers}")


@requirement("R1")
def test_a_line_break_in_another_column_does_not_split_a_row(bench):
    rows = table(5)
    cells = [[row[0], f'said "no",\nthen "yes",\n{row[0]},1,2', *row[1:]] for row in rows]
    bench.write(csv_text(cells, ("id", "note", "a", "b")))
    bench.run({"chunk_size": 2})
    bench.check_output(predictions(rows), "a column of notes with line breaks")


@requirement("R1")
def test_columns_are_found_by_name(bench, seed):
    rows = table(9, seed)
    cells = [["9", row[2], "x", row[0], row[1], "7"] for row in rows]
    bench.write(csv_text(cells, ("aa", "b", "note, short", "id", "a", "ID")))
    bench.run({"chunk_size": 4})
    bench.check_output(predictions(rows), "columns in another order, with others between them")


@requirement("R1")
def test_the_model_gets_the_features_in_the_order_of_feature_names(bench):
    rows = table(5)
    bench.write(csv_text([[row[0], row[2], "5", row[1]] for row in rows], ("id", "b", "c", "a")))
    bench.run({"feature_names": ["a", "c", "b"]})
    expected = [(row[0], 3.0 * float(row[1]) - 10.0 + 0.5 * float(row[2])) for row in rows]
    bench.check_output(expected, "feature_names a, c, b in a file with the columns id, b, c, a")


@requirement("R1")
def test_another_id_column(bench):
    rows = table(5)
    bench.write(csv_text([["same", *row] for row in rows], ("id", "customer", "a", "b")))
    bench.run({"id_column": "customer"})
    bench.check_output(predictions(rows), "id_column='customer', beside a column 'id'")


@requirement("R1")
def test_lines_may_end_in_carriage_return_and_newline(bench):
    rows = table(5)
    bench.write(csv_text(rows, end="\r\n"))
    bench.run({"chunk_size": 2})
    bench.check_output(predictions(rows), "an input whose lines end in \\r\\n")


@requirement("R1")
def test_the_last_line_needs_no_newline(bench):
    rows = table(5)
    bench.write(csv_text(rows).rstrip("\n"))
    bench.run({"chunk_size": 2})
    bench.check_output(predictions(rows), "an input without a newline at its end")


@requirement("R1")
@pytest.mark.parametrize("version", ['v1, "blue"', "1.0"])
def test_the_model_version_is_on_each_line(bench, version):
    bench.write(csv_text(table(5)))
    bench.run({"model_version": version, "chunk_size": 2})
    found = {row[2] for row in bench.records(bench.output, "id,prediction,model_version")}
    assert found == {version}, f"model_version={version!r} was written as {found}"


@requirement("R1")
@pytest.mark.parametrize("answer", ["list", "integers"])
def test_a_model_may_answer_with_any_array_of_numbers(bench, answer):
    rows = [[f"c{i}", str(i), str(2 * i % 7)] for i in range(5)]
    bench.write(csv_text(rows))
    bench.run({"chunk_size": 2}, model={"answer": answer})
    bench.check_output(predictions(rows), f"a model that returns {answer}")


@requirement("R1")
def test_predictions_keep_their_precision(bench):
    values = [1e-17, 123456789.123456, 1 / 3, -2.5e300, 0.1 + 0.2, 0.0]
    bench.write(csv_text(table(6)))
    bench.run(model={"replaced": dict(enumerate(values))})
    found = [value for _, value in bench.predicted()]
    same = [math.isclose(one, wanted, rel_tol=1e-9) for one, wanted in zip(found, values, strict=True)]
    assert all(same), f"the model said {values}, and the output says {found}"


@requirement("R1")
def test_features_are_read_as_float_reads_them(bench):
    texts = ["1", "-2.5", "+3", "1e3", "2.5E-1", ".5", "7.", "000", "-0.0"]
    rows = [[f"c{i}", str(i), text] for i, text in enumerate(texts)]
    bench.write(csv_text(rows))
    bench.run()
    bench.check_output(predictions(rows), f"the feature cells {texts}")


@requirement("R1")
def test_lines_end_in_a_newline_and_nothing_else(bench):
    bench.write(csv_text([*table(4), ["bad", "", "1"]], end="\r\n"))
    bench.run()
    for name in (bench.output, bench.errors):
        content = bench.bytes(name)
        assert b"\r" not in content, f"{name} has a carriage return in it: {content[:60]!r}"
        assert content.endswith(b"\n"), f"{name} does not end in a newline: {content[-30:]!r}"


@requirement("R1")
def test_no_rows_give_an_output_without_rows(bench):
    bench.write("id,a,b\n")
    bench.run({"max_error_rate": 0.0})
    assert bench.predicted() == [], f"an input without rows gave the output {bench.bytes()!r}"
    assert bench.calls() == [], "predict was called although the input has no rows"


# --- R2


@requirement("R2")
@pytest.mark.parametrize(("count", "size"), [(10, 3), (9, 3), (1, 1000), (5, 1)])
def test_predict_is_called_once_per_chunk(bench, count, size):
    bench.write(csv_text(table(count)))
    bench.run({"chunk_size": size})
    expected = [list(range(start, min(start + size, count))) for start in range(0, count, size)]
    found = bench.calls()
    sizes = [len(call) for call in found]
    assert found == expected, f"{count} valid rows in chunks of {size}: predict got {sizes[:12]} rows per call"


@requirement("R2")
def test_the_default_chunk_has_a_thousand_rows(bench):
    bench.write(csv_text(table(2100)))
    bench.run()
    sizes = [len(call) for call in bench.calls()]
    assert sizes == [1000, 1000, 100], f"2,100 rows with the default chunk_size: predict got {sizes[:12]} rows per call"


@requirement("R2")
@pytest.mark.parametrize("bad", [(0, 1, 2), (6, 7, 8), (0, 4, 8)])
def test_bad_rows_take_no_place_in_a_chunk(bench, bad):
    rows = [[row[0], row[1], "" if i in bad else row[2]] for i, row in enumerate(table(9))]
    bench.write(csv_text(rows))
    bench.run({"chunk_size": 3})
    sizes = [len(call) for call in bench.calls()]
    assert sizes == [3, 3], f"6 valid rows among 9 are two chunks of 3, and predict got {sizes} rows per call"


@requirement("R2")
def test_without_valid_rows_predict_is_not_called(bench):
    bench.write(csv_text([[row[0], row[1], "?"] for row in table(9)]))
    bench.run({"chunk_size": 3})
    assert bench.calls() == [], f"none of 9 rows is valid, and predict was called with {bench.calls()}"


# --- R3

FAULTS = {
    "missing_value": ["", "   ", "\t", "\n"],
    "not_finite": ["nan", "NaN", "-nan", "inf", "-inf", "+Inf", "INFINITY", "-Infinity"],
    "not_a_number": ["twelve", "12,5", "1.2.3", "--1", "1 2", "€5", "12%", "e5"],
}


@requirement("R3")
@pytest.mark.parametrize("reason", FAULTS)
def test_a_bad_feature_is_recorded_with_its_reason(bench, reason):
    texts = FAULTS[reason]
    rows = [[f"c{i}", str(i), texts[i // 2] if i % 2 else "1"] for i in range(2 * len(texts))]
    bench.write(csv_text(rows))
    bench.run({"chunk_size": 2})
    situation = f"feature cells that say {texts}"
    bench.check_faults({i + 1: (f"c{i}", reason) for i in range(1, len(rows), 2)}, situation)
    bench.check_output(predictions(rows, range(1, len(rows), 2)), situation)


@requirement("R3")
@pytest.mark.parametrize("column", [1, 2])
def test_each_feature_is_looked_at(bench, column):
    rows = table(4)
    for place, text in enumerate(["oops", "", "inf"]):
        rows[place][column] = text
    bench.write(csv_text(rows))
    bench.run()
    expected = {1: ("c0000", "not_a_number"), 2: ("c0001", "missing_value"), 3: ("c0002", "not_finite")}
    bench.check_faults(expected, f"three faults in feature {FEATURES[column - 1]}")


@requirement("R3")
def test_a_missing_id_is_recorded(bench):
    rows = table(9)
    for place, identifier in zip((1, 3, 4, 8), ("", "  ", "\t", "\n"), strict=True):
        rows[place][0] = identifier
    bench.write(csv_text(rows))
    bench.run({"chunk_size": 2})
    found = {row: reason for row, (_, reason) in bench.faults().items()}
    expected = dict.fromkeys((2, 4, 5, 9), "missing_id")
    assert found == expected, f"rows 2, 4, 5 and 9 have an empty or blank id, and the error file says {found}"
    bench.check_output(predictions(rows, (1, 3, 4, 8)), "four rows without an id")


@requirement("R3")
def test_each_row_without_an_id_is_recorded(bench):
    rows = table(6)
    rows[1][0] = rows[2][0] = rows[5][0] = ""
    bench.write(csv_text(rows))
    bench.run({"chunk_size": 2})
    expected = dict.fromkeys((2, 3, 6), ("", "missing_id"))
    bench.check_faults(expected, "three rows without an id")


@requirement("R3")
def test_a_short_row_lacks_values(bench):
    bench.write("id,a,b\nc0,0,1\nc1,1\nc2\nc3,3,1\n")
    bench.run()
    bench.check_faults({2: ("c1", "missing_value"), 3: ("c2", "missing_value")}, "rows with two cells and one cell")


@requirement("R3")
def test_a_short_row_may_lack_columns_that_nobody_needs(bench):
    bench.write("id,a,b,note\nc0,0,1,x\nc1,1,2\nc2,2,3,\n")
    bench.run()
    bench.check_faults({}, "a row that lacks only a note")
    bench.check_output([("c0", -2.0), ("c1", -1.0), ("c2", 0.0)], "a row that lacks only a note")


@requirement("R3")
def test_other_columns_may_hold_anything(bench):
    rows = table(4)
    notes = ["", "nan", "  ", "x"]
    bench.write(csv_text([[*row, note] for row, note in zip(rows, notes, strict=True)], ("id", "a", "b", "note")))
    bench.run()
    bench.check_faults({}, "an extra column with empty cells, nan and text")


@requirement("R3")
def test_rows_are_counted_by_record_not_by_line(bench):
    rows = table(6)
    rows[0][0], rows[2][0] = "one\ntwo\nthree", "four\nfive"
    rows[3][2] = "bad"
    rows[5][2] = ""
    bench.write(csv_text(rows))
    bench.run()
    expected = {4: ("c0003", "not_a_number"), 6: ("c0005", "missing_value")}
    bench.check_faults(expected, "faults in rows 4 and 6, after ids with line breaks")


@requirement("R3")
def test_the_id_of_a_bad_row_is_its_text(bench):
    identifiers = ['say "hi", twice', "two\nlines", "Łódź"]
    bench.write(csv_text([*([identifier, "1", "bad"] for identifier in identifiers), ["good", "1", "2"]]))
    bench.run()
    expected = {number: (identifier, "not_a_number") for number, identifier in enumerate(identifiers, 1)}
    bench.check_faults(expected, "bad rows with unusual ids")


@requirement("R3")
def test_many_bad_rows_do_not_end_the_run(bench, seed):
    rows = table(60, seed)
    faults = {}
    for place in range(0, 60, 2):
        reason, text = [("missing_value", ""), ("not_a_number", "x"), ("not_finite", "inf")][place // 2 % 3]
        rows[place][1 + place % 4 // 2] = text
        faults[place + 1] = (rows[place][0], reason)
    bench.write(csv_text(rows))
    bench.run({"chunk_size": 4})
    bench.check_faults(faults, "every second row bad")
    bench.check_output(predictions(rows, range(0, 60, 2)), "every second row bad")


@requirement("R3")
def test_the_error_file_may_have_a_place_of_its_own(bench):
    rows = table(4)
    rows[2][2] = "bad"
    bench.write(csv_text(rows))
    bench.run({"error_path": Path(bench.at("rejected.csv"))})
    bench.errors = "rejected.csv"
    bench.check_faults({3: ("c0002", "not_a_number")}, "an error_path of our own")


@requirement("R3")
@pytest.mark.parametrize("header", ["id,a", "a,b", "id,A,b"])
def test_a_missing_column_is_refused_before_any_prediction(bench, header):
    rows = table(4)
    width = header.count(",") + 1
    bench.write(csv_text([row[:width] for row in rows], header.split(",")))
    with pytest.raises(bench.submission.InputSchemaError):
        bench.run()
    assert bench.calls() == [], f"the header {header} lacks a column, and predict was called"


@requirement("R3")
def test_an_empty_file_lacks_every_column(bench):
    bench.write("")
    with pytest.raises(bench.submission.InputSchemaError):
        bench.run()
    assert bench.calls() == [], "the file is empty, and predict was called"


# --- R4


def mixed(bench, seed=0):
    """Write 50 rows, some of them bad in each way that a cell can be."""
    rows = table(50, seed)
    rows[3][1], rows[9][2], rows[17][2], rows[18][0], rows[49][1] = "", "x", "inf", "", "nan"
    bench.write(csv_text(rows))
    return rows


BAD_MODEL = {"poison": [21], "replaced": {27: "nan"}}


@requirement("R4")
@pytest.mark.parametrize("size", [4, 1000])
def test_the_counts_agree_with_the_files(bench, seed, size):
    mixed(bench, seed)
    report = bench.run({"chunk_size": size}, model=BAD_MODEL)
    counts = {name: report[name] for name in ("n_input", "n_output", "n_errors")}
    written = {"n_input": 50, "n_output": len(bench.predicted()), "n_errors": len(bench.faults())}
    assert counts == written, f"the report says {counts}, input and files say {written}"
    total = counts["n_output"] + counts["n_errors"]
    assert total == 50, f"of 50 rows {counts['n_output']} are in the output and {counts['n_errors']} in the error file"


@requirement("R4")
@pytest.mark.parametrize("model", [{}, BAD_MODEL])
def test_the_reasons_are_counted(bench, model):
    mixed(bench)
    report = bench.run({"chunk_size": 7}, model=model)
    reasons = [reason for _, reason in bench.faults().values()]
    written = {reason: reasons.count(reason) for reason in reasons}
    found = {reason: count for reason, count in report["errors_by_reason"].items() if count}
    assert found == written, f"errors_by_reason is {found}, and the error file says {written}"


@requirement("R4")
def test_no_row_is_lost_or_in_both_files(bench):
    rows = mixed(bench)
    bench.run({"chunk_size": 7}, model=BAD_MODEL)
    places = {row[0]: number for number, row in enumerate(rows, 1)}
    found = sorted([places[identifier] for identifier, _ in bench.predicted()] + list(bench.faults()))
    lost, twice = set(range(1, 51)) - set(found), {number for number in found if found.count(number) > 1}
    assert not lost, f"rows that are neither in the output nor in the error file: {sorted(lost)}"
    assert not twice, f"rows that are there twice, in one file or in both: {sorted(twice)}"


@requirement("R4")
def test_the_report_is_json(bench):
    mixed(bench)
    report = bench.run({"chunk_size": 7}, model=BAD_MODEL)
    try:
        json.dumps(report, allow_nan=False)
    except (TypeError, ValueError) as error:
        pytest.fail(f"json.dumps refused the report {report}: {error}")
    kinds = {name: type(report[name]).__name__ for name in ("n_input", "n_output", "n_errors", "skipped")}
    assert list(kinds.values()) == ["int", "int", "int", "bool"], (
        f"the report should hold builtin types, and has {kinds}"
    )
    reasons = report["errors_by_reason"]
    assert all(type(count) is int for count in reasons.values()), f"errors_by_reason holds other than ints: {reasons}"


@requirement("R4")
@pytest.mark.parametrize(("count", "size", "chunks"), [(10, 3, 4), (9, 3, 3), (0, 3, 0), (1, 1000, 1)])
def test_chunks_and_calls_are_counted(bench, count, size, chunks):
    bench.write(csv_text([*table(count), ["bad", "x", "1"]]))
    report = bench.run({"chunk_size": size})
    found = (report["n_chunks"], report["n_chunks_resumed"])
    assert found == (chunks, 0), f"{count} valid rows in chunks of {size}: n_chunks and n_chunks_resumed are {found}"
    assert report["skipped"] is False, f"a first run reported skipped={report['skipped']!r}"


@requirement("R4")
def test_calls_that_raised_are_counted(bench):
    bench.write(csv_text(table(40)))
    report = bench.run({"chunk_size": 10}, model={"poison": [3, 25]})
    calls = len(bench.calls())
    assert report["predict_calls"] == calls, (
        f"predict was called {calls} times; predict_calls is {report['predict_calls']}"
    )
    assert report["n_chunks"] == 4, f"40 valid rows in chunks of 10, and n_chunks is {report['n_chunks']}"


@requirement("R4")
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_hashes_are_those_of_the_files(bench, end):
    text = csv_text([*table(12), ["Łódź", "x", "1"]], end=end)
    bench.write(text)
    report = bench.run({"chunk_size": 5})
    expected = [hashlib.sha256(content).hexdigest() for content in (text.encode(), bench.bytes())]
    found = [report["input_sha256"], report["output_sha256"]]
    assert found == expected, f"the SHA-256 of input and output are {expected}, and the report says {found}"


@requirement("R4")
@pytest.mark.parametrize("bad", [False, True])
def test_both_files_are_there_even_when_one_has_no_rows(bench, bad):
    rows = [[row[0], row[1], "x" if bad else row[2]] for row in table(5)]
    bench.write(csv_text(rows))
    report = bench.run()
    counts = (report["n_input"], report["n_output"], report["n_errors"])
    found = (len(bench.predicted()) + len(bench.faults()), len(bench.predicted()), len(bench.faults()))
    assert counts == found == (5, 0 if bad else 5, 5 if bad else 0), f"the report says {counts}, the files say {found}"


@requirement("R4")
def test_the_score_of_a_row_is_never_that_of_its_neighbour(bench, seed):
    rows = table(30, seed)
    for place in (2, 3, 11, 20):
        rows[place][2] = "x"
    bench.write(csv_text(rows))
    bench.run({"chunk_size": 4}, model={"poison": [6, 21], "replaced": {9: "inf"}})
    found = dict(bench.predicted())
    wrong = [row[0] for row in rows if row[0] in found and row[2] != "x" and abs(found[row[0]] - score(row)) > 1e-6]
    assert not wrong, f"rows whose prediction is not theirs, beside rows with faults: {wrong}"
