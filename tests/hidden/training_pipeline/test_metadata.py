"""R12: what proves the artifact."""

import hashlib
import json
import re

import numpy as np
import pytest
from training_runs import FEATURES, Shelf, chances, customers, labels, train

from rounds.testing import requirement


def sha256_of(box, data, **settings):
    value = train(box, data, **{"kind": "tree", **settings})["metadata"]["data_sha256"]
    assert re.fullmatch("[0-9a-fA-F]{64}", str(value)), f"data_sha256 is {value!r}, not 64 hexadecimal digits"
    return value


@requirement("R12")
@pytest.mark.parametrize(
    ("column", "place"), [("age", 0), ("age", 120), ("visits", 239), ("visits", 119), ("city", 120), ("target", 110)]
)
def test_one_changed_cell_changes_the_hash(box, seed, column, place):
    data = customers(seed=seed)
    other, row = data.copy(), data.index[place]
    other.loc[row, column] = {
        "age": data.loc[row, "age"] + 1e-6,
        "visits": 99,
        "city": "Atlantis",
        "target": 1 - data.loc[row, "target"],
    }[column]
    assert sha256_of(box, data) != sha256_of(box, other), (
        f"one value of {column} in row {place} of 240 changed, data_sha256 did not"
    )


@requirement("R12")
def test_one_city_changed_for_another_changes_the_hash(box, seed):
    data = customers(seed=seed)
    second, third = data["city"].value_counts().index[1:]
    other, row = data.copy(), data.index[data["city"] == third][9]
    other.loc[row, "city"] = second
    assert sha256_of(box, data) != sha256_of(box, other), "one city changed for another common one, data_sha256 did not"


@requirement("R12")
def test_a_value_gone_missing_changes_the_hash(box, seed):
    data = customers(seed=seed)
    other = data.copy()
    other.loc[data.index[130], "age"] = np.nan
    assert sha256_of(box, data) != sha256_of(box, other), "one age went missing, data_sha256 did not change"


@requirement("R12")
def test_a_change_in_a_row_that_is_not_retained_changes_the_hash(box, seed):
    data = customers(seed=seed)
    data.loc[data.index[50], "target"] = np.nan
    other = data.copy()
    other.loc[data.index[50], "age"] += 5.0
    assert sha256_of(box, data) != sha256_of(box, other), (
        "a row without target changed, data_sha256 (of data as passed) did not"
    )


@requirement("R12")
def test_equal_frames_agree_in_another_process(sandbox, seed):
    data = customers(seed=seed)
    one, two = (sha256_of(sandbox(hash_seed=number), frame) for number, frame in ((0, data), (1, data.copy())))
    assert one == two, "equal frames gave different data_sha256 in two processes"


@requirement("R12")
def test_equal_frames_agree_whatever_the_other_settings(box, seed):
    data = customers(seed=seed)
    one = sha256_of(box, data, seed=1, clock=lambda: 1.0)
    two = sha256_of(box, data, seed=2, kind="tree", options={"max_depth": 2}, test_size=0.4, clock=lambda: 2.0)
    assert one == two, "the same data with another seed, estimator and clock gave another data_sha256"


@requirement("R12")
@pytest.mark.parametrize("boxed", [False, True])
def test_equal_frames_agree_however_they_were_built(box, seed, boxed):
    data = customers(seed=seed)
    if boxed:
        data["city"] = data["city"].astype(object)
    config = box.props.config(box.submission, {"estimator": box.props.estimator("tree", {"max_depth": 2})})
    equal, one, two = box.props.hashes_of_equal_frames(box.submission, data, config)
    assert not equal or one == two, "two frames that are equal, built in different ways, gave different data_sha256"


@requirement("R12")
@pytest.mark.parametrize("now", [1234.5, 1_700_000_000.25])
def test_the_metadata_describe_the_run(box, seed, now):
    data = customers(seed=seed).assign(ident=1.0)
    result = train(box, data, param_grid={"C": [0.1, 1.0]}, seed=12, clock=lambda: now, drop_cols=["ident"])
    metadata = result["metadata"]
    assert metadata["created_at"] == now, f"the clock said {now}, created_at is {metadata['created_at']!r}"
    assert metadata["seed"] == 12, f"seed was 12, metadata say {metadata['seed']!r}"
    assert sorted(metadata["feature_names"]) == sorted(FEATURES), f"feature_names is {metadata['feature_names']}"
    assert metadata["best_params"] == result["best_params"], f"best_params of metadata is {metadata['best_params']}"
    for name, version in box.props.versions().items():
        assert metadata["library_versions"].get(name) == version, f"library_versions[{name!r}] is not {version!r}"


@requirement("R12")
@pytest.mark.parametrize(("champion", "folder"), [("no registry", "out"), (None, "a/b/c"), (1.0, "")])
def test_the_artifact_is_written_whatever_the_gate_says(box, seed, champion, folder):
    shelf = Shelf(champion and {"version": 1, "metrics": {"balanced_accuracy": champion}})
    result = train(
        box,
        customers(seed=seed),
        registry=None if champion == "no registry" else shelf,
        clock=lambda: 55.5,
        param_grid={"C": [0.5]},
        output_dir=f"{box.scratch.path}/{folder}",
        seed=4,
    )
    prefix = f"{folder}/" if folder else ""
    for name in ("model.joblib", "metadata.json"):
        assert prefix + name in box.scratch.files(), (
            f"{name} is not in output_dir; registered is {result['registered']}"
        )
    digest = hashlib.sha256(box.scratch.read(f"{prefix}model.joblib")).hexdigest()
    written = json.loads(box.scratch.read(f"{prefix}metadata.json"))
    assert result["metadata"]["artifact_sha256"] == digest, (
        "artifact_sha256 of the result is not the hash of model.joblib"
    )
    for name in ("artifact_sha256", "data_sha256", "seed", "best_params", "library_versions", "created_at"):
        assert written.get(name) == result["metadata"][name], f"metadata.json and the result differ in {name}"
    assert sorted(written["feature_names"]) == sorted(FEATURES), "metadata.json has other feature_names than the data"


@requirement("R12")
def test_the_registry_gets_the_hash_of_the_artifact(box, seed):
    shelf = Shelf()
    train(box, customers(seed=seed), registry=shelf, output_dir=f"{box.scratch.path}/out", clock=lambda: 8.5)
    digest = hashlib.sha256(box.scratch.read("out/model.joblib")).hexdigest()
    given = shelf.calls[0]["metadata"]
    assert given.get("artifact_sha256") == digest, "artifact_sha256 that register() got is not the hash of model.joblib"
    assert given.get("created_at") == 8.5, "register() got other metadata than the result has"


@requirement("R12")
@pytest.mark.parametrize("kind", ["logistic", "tree"])
def test_the_reloaded_model_predicts_the_same(sandbox, seed, kind):
    first, probe = sandbox(), customers(60, seed=seed + 1)[FEATURES].iloc[:, ::-1]
    result = train(
        first,
        customers(seed=seed),
        kind=kind,
        options={},
        output_dir=f"{first.scratch.path}/out",
        param_grid={"class_weight": ["balanced"]},
    )
    second = sandbox(hash_seed=1, files={"model.joblib": first.scratch.read("out/model.joblib")})
    assert second.submission is not None, "the submission could not be loaded in a second process"
    model = second.props.load(f"{second.scratch.path}/model.joblib")
    gap = np.abs(chances(model, probe) - chances(result["model"], probe)).max()
    assert gap <= 1e-9, f"the reloaded model's probabilities differ by up to {gap:.3g}"
    assert labels(model.predict(probe)) == labels(result["model"].predict(probe)), (
        "the reloaded model predicts other labels"
    )
