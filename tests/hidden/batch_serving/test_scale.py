"""R10 and R12: a large input, and shards."""

import hashlib

import pytest
from batch_jobs import close, csv_text, difference, predictions, table

from rounds.testing import data_of, requirement

ROWS = 200_000


# --- R10


@requirement("R10")
@pytest.mark.limits(seconds=240)
def test_a_large_input_takes_little_memory_and_time(bench):
    size = bench.props.write_large(bench.at("in.csv"), ROWS)
    places = [bench.at("in.csv"), bench.at("out.csv")]
    found = bench.props.run_large(bench.submission, places, {"feature_names": ["a", "b"]})
    peak = found["peak"] / 1e6
    assert peak < 60, f"{ROWS:,} rows in {size / 1e6:.0f} MB: tracemalloc saw a peak of {peak:.0f} MB; 60 are allowed"
    seconds = found["seconds"]
    assert seconds is not None, f"{ROWS:,} rows took more than 60 CPU seconds; the run was cut short"
    assert seconds < 60, f"{ROWS:,} rows took {seconds:.0f} CPU seconds; 60 are allowed"
    rows = [[f"c{i:06}", str(i), str(i % 97 / 4)] for i in range(ROWS)]
    output, expected = bench.predicted(), predictions(rows)
    assert close(output, expected), f"{ROWS:,} rows: {difference(output, expected)}"


# --- R12


def sharded(bench, count, settings=None, model=None):
    """Run every shard of the job; return the report, output rows and faults of each."""
    before, found = bench.output, []
    for shard in range(count):
        bench.output, bench.errors = f"shard-{shard}.csv", f"shard-{shard}.csv.errors.csv"
        report = bench.run({"shard": (shard, count), **(settings or {})}, model=model)
        found.append((report, bench.predicted(), bench.faults()))
    bench.output, bench.errors = before, f"{before}.errors.csv"
    return found


def members(bench, count=3, settings=None):
    """Return the set of ids in the output of each shard."""
    return [{identifier for identifier, _ in output} for _, output, _ in sharded(bench, count, settings)]


@requirement("R12")
@pytest.mark.parametrize("count", [2, 3])
def test_the_shards_are_together_the_whole_output(bench, seed, count):
    rows = table(300, seed)
    bench.write(csv_text(rows))
    found = [pair for _, output, _ in sharded(bench, count) for pair in output]
    assert len(found) == 300, f"300 rows in {count} shards gave {len(found)} output rows"
    problem = difference(sorted(found), sorted(predictions(rows)))
    assert close(sorted(found), sorted(predictions(rows))), f"{count} shards together: {problem}"


@requirement("R12")
def test_each_shard_keeps_the_input_s_order(bench):
    rows = table(120)
    bench.write(csv_text(rows[::-1]))
    place = {row[0]: -index for index, row in enumerate(rows)}
    for _, output, _ in sharded(bench, 3, {"chunk_size": 7}):
        order = [place[identifier] for identifier, _ in output]
        assert order == sorted(order), "the output of a shard is not in the order of the input"


@requirement("R12")
def test_every_row_with_a_fault_is_in_exactly_one_shard(bench):
    rows = table(90)
    expected = {32: ("", "missing_id"), 33: ("", "missing_id")}
    for place in range(0, 90, 5):
        rows[place][2] = "x"
        expected[place + 1] = (rows[place][0], "not_a_number")
    rows[31][0] = rows[32][0] = ""
    bench.write(csv_text(rows))
    found = [pair for _, _, faults in sharded(bench, 3, {"chunk_size": 7}) for pair in faults.items()]
    wanted = sorted(expected.items())
    assert sorted(found) == wanted, f"the errors of three shards together should be {wanted}, and were {sorted(found)}"


@requirement("R12")
def test_the_counts_are_those_of_the_shard(bench):
    rows = table(300)
    for place in range(0, 300, 10):
        rows[place][2] = "x"
    text = csv_text(rows)
    bench.write(text)
    whole = hashlib.sha256(text.encode()).hexdigest()
    total = 0
    for report, output, faults in sharded(bench, 3):
        found = (report["n_input"], report["n_output"], report["n_errors"])
        files = (len(output) + len(faults), len(output), len(faults))
        assert found == files, f"n_input, n_output, n_errors of a shard are {found}, its files say {files}"
        assert report["input_sha256"] == whole, "input_sha256 of a shard is not the hash of the whole file"
        total += report["n_input"]
    assert total == 300, f"n_input of three shards of 300 rows adds up to {total}"


@requirement("R12")
def test_chunks_are_cut_from_the_rows_of_the_shard(bench):
    bench.write(csv_text(table(300)))
    for report, output, _ in sharded(bench, 3, {"chunk_size": 20}):
        chunks = -(-len(output) // 20)
        assert report["n_chunks"] == chunks, f"{len(output)} rows in chunks of 20, and n_chunks is {report['n_chunks']}"


@requirement("R12")
def test_the_share_of_errors_is_that_of_the_shard(bench):
    bench.write(csv_text(table(300)))
    first = members(bench)[0]
    bench.write(csv_text([[row[0], "x" if row[0] in first else row[1], row[2]] for row in table(300)]))
    ends = []
    for shard in range(3):
        bench.output = f"again-{shard}.csv"
        ends.append(bench.interrupted({"shard": (shard, 3), "max_error_rate": 0.5}))
    expected = ["BatchAborted", "", ""]
    assert ends == expected, f"all rows of shard 0 of 3 are bad, no other, 0.5 is allowed: the shards raised {ends}"


@requirement("R12")
def test_membership_depends_on_the_id_alone(bench, seed):
    rows = table(200, seed)
    bench.write(csv_text(rows))
    before = members(bench)
    altered = [[row[0], str(2000 + i), "5"] for i, row in enumerate(rows[::-1])] + [
        ["new", "1", "1"],
        ["newer", "2", "2"],
    ]
    bench.write(csv_text([[*row, "x"] for row in altered[::-1]], ("id", "a", "b", "note")))
    after = members(bench, settings={"model_version": "2", "chunk_size": 7})
    moved = [len(old - new) for old, new in zip(before, after, strict=True)]
    assert moved == [0, 0, 0], (
        f"other values, another order and two more rows moved {moved} ids out of the three shards"
    )


@requirement("R12")
def test_a_duplicate_is_in_the_shard_of_its_first_row(bench):
    rows = table(100)
    for place in range(50, 100):
        rows[place][0] = rows[place - 50][0]
    bench.write(csv_text(rows))
    for _, output, faults in sharded(bench, 3):
        kept, refused = sorted(identifier for identifier, _ in output), sorted(name for name, _ in faults.values())
        assert kept == refused, (
            f"each id comes twice; a shard kept {len(kept)} and refused {len(refused)}, not the same ones"
        )


@requirement("R12")
def test_the_shards_are_of_similar_size(bench):
    bench.write(csv_text(table(3000, prefix="customer-")))
    sizes = [len(shard) for shard in members(bench)]
    assert all(600 <= size <= 1500 for size in sizes), f"3,000 ids in three shards: their sizes are {sizes}"


@requirement("R12")
def test_membership_is_the_same_in_another_process(sandbox):
    rows = table(100, prefix="k")
    found = []
    for hash_seed in (0, 1):
        box = sandbox(hash_seed=hash_seed, files={"in.csv": csv_text(rows).encode()})
        places = [f"{box.scratch.path}/in.csv", f"{box.scratch.path}/out.csv"]
        settings = {"feature_names": ["a", "b"], "shard": (1, 3)}
        data_of(box.props.run(box.submission, places, settings, {}))
        lines = box.scratch.read("out.csv").decode().splitlines()[1:]
        found.append({line.split(",")[0] for line in lines})
    assert found[0], "shard 1 of 3 of 100 ids is empty"
    moved = len(found[0] ^ found[1])
    assert not moved, (
        f"in two processes with different hash seeds {moved} of 100 ids were in shard 1 of 3 in one of them only"
    )


@requirement("R12")
@pytest.mark.parametrize("shard", [(0, 1), None])
def test_one_shard_is_everything(bench, shard):
    rows = table(30)
    bench.write(csv_text(rows))
    bench.run({"shard": shard} if shard else {})
    bench.check_output(predictions(rows), f"shard={shard or 'as by default'}")
