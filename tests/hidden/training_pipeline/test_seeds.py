"""R10: one seed, one result, and untouched generators."""

import numpy as np
import pytest
from training_runs import FEATURES, FIGURES, chances, customers, sides, train

from rounds.testing import requirement


def assert_same_run(before, after, probe, what):
    assert [sorted(side, key=str) for side in sides(before)] == [sorted(side, key=str) for side in sides(after)], (
        f"{what}: the split differs"
    )
    for name in FIGURES:
        assert before["metrics"][name] == pytest.approx(after["metrics"][name], abs=1e-9), f"{what}: {name} differs"
    assert before["best_params"] == after["best_params"], f"{what}: best_params differ"
    for one, two in zip(before["cv_results"], after["cv_results"], strict=True):
        assert one["params"] == two["params"], f"{what}: cv_results have another order"
        assert one["fold_scores"] == pytest.approx(two["fold_scores"], abs=1e-9), f"{what}: fold scores differ"
    gap = np.abs(chances(before["model"], probe) - chances(after["model"], probe)).max()
    assert gap <= 1e-9, f"{what}: probabilities differ by up to {gap:.3g}"


@requirement("R10")
@pytest.mark.parametrize("role", [None, "group_col", "time_col"])
def test_another_process_gives_the_same_result(sandbox, seed, role):
    data = customers(seed=seed)
    data["ident"] = [f"g{place}" for place in np.arange(240) % 120] if role == "group_col" else np.arange(240)
    settings = {"drop_cols": ["ident"]} if role is None else {role: "ident"}
    settings |= {"kind": "tree", "options": {"max_features": 1}, "param_grid": {"max_depth": [2, 4]}, "seed": 3}
    before, after = (train(sandbox(hash_seed=number), data, **settings) for number in (0, 1))
    assert_same_run(before, after, customers(50, seed=seed + 1)[FEATURES], "the same run in two processes")


@requirement("R10")
@pytest.mark.limits(seconds=60)
def test_the_default_run_is_the_same_in_another_process(sandbox):
    before, after = (sandbox(hash_seed=number).submission.create_training_pipeline().run() for number in (0, 1))
    from sklearn.datasets import load_breast_cancer

    probe = load_breast_cancer(as_frame=True).frame.drop(columns="target").head(50)
    assert_same_run(before, after, probe, "the default run in two processes")


@requirement("R10")
@pytest.mark.parametrize("kind", ["tree", "forest"])
def test_global_generators_have_no_say(box, seed, kind):
    data, results = customers(seed=seed), []
    options = {"max_features": 1} if kind == "tree" else {"n_estimators": 4}
    for number in (1, 2):
        box.props.seed_globals(number)
        results.append(train(box, data, kind=kind, options=options))
    assert_same_run(
        *results, customers(50, seed=seed + 1)[FEATURES], f"an unseeded {kind} after other calls of np.random.seed"
    )


@requirement("R10")
@pytest.mark.parametrize("role", [None, "group_col"])
def test_another_seed_gives_another_split(box, seed, role):
    data = customers(seed=seed)
    data["ident"] = np.arange(240) % 120
    settings = {"drop_cols": ["ident"]} if role is None else {role: "ident"}
    splits = [frozenset(sides(train(box, data, seed=number, **settings))[1]) for number in (0, 1, 2, 42)]
    assert len(set(splits)) == 4, f"four seeds gave {len(set(splits))} different splits"


@requirement("R10")
def test_an_unset_random_state_becomes_the_seed(box, seed):
    data, probe = customers(seed=seed), customers(50, seed=seed + 1)[FEATURES]
    unset = train(box, data, kind="tree", options={"max_features": 1}, seed=11)
    fixed = train(box, data, kind="tree", options={"max_features": 1, "random_state": 11}, seed=11)
    assert_same_run(unset, fixed, probe, "random_state unset with seed=11, and random_state=11")


@requirement("R10")
def test_the_callers_estimator_keeps_its_random_state(box, seed):
    estimator = box.props.estimator("tree", {"max_features": 1})
    train(box, customers(seed=seed), kind=None, estimator=estimator, param_grid={"max_depth": [2, 3]}, seed=5)
    found = estimator.get_params()
    assert found["random_state"] is None, (
        f"the run set random_state = {found['random_state']!r} on the caller's own estimator"
    )


@requirement("R10")
@pytest.mark.parametrize("settings", [{}, {"group_col": "ident"}, {"time_col": "ident"}, {"seed": 9, "kind": "forest"}])
def test_the_states_of_the_global_generators_are_left_alone(box, seed, settings):
    data = customers(seed=seed)
    data["ident"] = np.arange(240) // 2
    settings = {"kind": "tree", **settings}
    kind = settings.pop("kind")
    options = {"n_estimators": 3} if kind == "forest" else {"max_features": 1}
    settings["estimator"] = box.props.estimator(kind, options)
    box.props.seed_globals(77)
    before, after = box.props.generator_states(box.submission, data, box.props.config(box.submission, settings))
    assert before[0] == after[0], "the state of `random` is another one after the run"
    assert before[1:] == after[1:], "the state of `np.random` is another one after the run"


@requirement("R10")
@pytest.mark.limits(seconds=60)
def test_the_default_estimator_leaves_the_generators_alone(box, seed):
    before, after = box.props.generator_states(
        box.submission, customers(seed=seed), box.props.config(box.submission, {})
    )
    assert before == after, (
        "with the pipeline's own estimator, the state of a global generator is another one after the run"
    )
