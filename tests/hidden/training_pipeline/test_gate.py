"""R11: who gets registered."""

import numpy as np
import pytest
from training_runs import FEATURES, FIGURES, Shelf, chances, customers, plain, train

from rounds.testing import requirement


@requirement("R11")
@pytest.mark.parametrize("version", [1, 42])
def test_a_good_model_is_registered_once_with_the_results_own_values(box, seed, version):
    shelf, probe = Shelf(version=version), customers(40, seed=seed + 1)[FEATURES]
    result = train(box, customers(seed=seed), registry=shelf, model_name="churn-eu")
    assert len(shelf.calls) == 1, f"a good model without a champion: register() was called {len(shelf.calls)} times"
    call = shelf.calls[0]
    assert (result["registered"], result["version"]) == (True, version), (
        f"register() returned {version}; the result says registered={result['registered']}, version={result['version']}"
    )
    assert (call["name"], set(shelf.asked)) == ("churn-eu", {"churn-eu"}), "the registry was not called with model_name"
    assert {name: call["metrics"][name] for name in FIGURES} == {name: result["metrics"][name] for name in FIGURES}, (
        "register() got other metrics than the result has"
    )
    assert call["metadata"]["data_sha256"] == result["metadata"]["data_sha256"], (
        "register() got other metadata than the result"
    )
    assert np.abs(chances(call["model"], probe) - chances(result["model"], probe)).max() <= 1e-9, (
        "register() got another model"
    )
    assert str(result["reason"] or "").strip(), "reason of a registered model is empty"


def assert_refused(result, shelf, what):
    assert shelf is None or shelf.calls == [], f"{what}, and register() was called"
    assert result["registered"] is False, f"{what}, and registered is {result['registered']!r}"
    assert result["version"] is None, f"{what}, and version is {result['version']!r}"
    assert str(result["reason"] or "").strip(), f"{what}, and reason is {result['reason']!r}"


@requirement("R11")
def test_without_a_registry_nothing_is_registered(box, seed):
    assert_refused(train(box, customers(seed=seed)), None, "no registry was given")


@requirement("R11")
@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "f1", "roc_auc"])
def test_only_a_strictly_better_model_replaces_the_champion(box, seed, metric):
    data = customers(400, seed=seed, positives=0.3, noise=0.2)
    ours = train(box, data, primary_metric=metric)["metrics"][metric]
    for theirs, wins in ((ours - 1e-4, True), (ours, False), (ours + 1e-4, False)):
        others = dict.fromkeys(FIGURES, 1.0 if wins else 0.0)
        shelf = Shelf({"version": 3, "metrics": {**others, metric: theirs}})
        result = train(box, data, primary_metric=metric, registry=shelf)
        if wins:
            assert (len(shelf.calls), result["registered"]) == (1, True), (
                f"{metric} was above the champion's, and the model was not registered: {result['reason']}"
            )
        else:
            assert_refused(result, shelf, f"the model's {metric} was {ours}, the champion's {theirs}")


@requirement("R11")
@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "f1", "roc_auc"])
def test_the_improvement_over_the_baseline_counts(box, seed, metric):
    data = customers(400, seed=seed, positives=0.6, noise=0.2)
    first = train(box, data, primary_metric=metric)
    lead = first["metrics"][metric] - first["baseline_metrics"][metric]
    assert lead > 0.01, f"the model leads the baseline by {lead:.3f} in {metric} on an easy problem"
    for wanted, wins in ((lead - 1e-4, True), (lead + 1e-4, False)):
        shelf = Shelf()
        result = train(box, data, primary_metric=metric, registry=shelf, min_improvement=wanted)
        if wins:
            assert len(shelf.calls) == 1, (
                f"{metric} leads by {lead:.4f}, min_improvement is {wanted:.4f}, not registered"
            )
        else:
            assert_refused(result, shelf, f"{metric} leads by {lead:.4f}, min_improvement is {wanted:.4f}")


@requirement("R11")
def test_the_improvement_is_not_asked_over_the_champion(box, seed):
    data = customers(seed=seed, noise=0.2)
    ours = train(box, data)["metrics"]["balanced_accuracy"]
    shelf = Shelf({"version": 1, "metrics": {"balanced_accuracy": ours - 0.01}})
    result = train(box, data, registry=shelf, min_improvement=0.1)
    assert len(shelf.calls) == 1, (
        f"0.01 above the champion and far above the baseline: not registered, {result['reason']!r}"
    )


@requirement("R11")
def test_exactly_the_wanted_improvement_is_enough(box, seed):
    data = plain(seed=seed, positives=0.3)
    held_out = plain(64, seed=seed + 1).assign(target=[0] * 16 + [1] * 48)
    for wanted, wins in ((0.5, True), (0.501, False)):
        shelf = Shelf()
        train(
            box,
            data,
            test_data=held_out,
            kind="constant",
            options={"label": 1},
            primary_metric="accuracy",
            min_improvement=wanted,
            registry=shelf,
        )
        assert len(shelf.calls) == wins, (
            f"accuracy 0.75, baseline 0.25, min_improvement {wanted}: register() was called {len(shelf.calls)} times"
        )


@requirement("R11")
@pytest.mark.parametrize("metric", ["balanced_accuracy", "accuracy", "f1", "roc_auc"])
def test_a_constant_model_is_never_registered(box, seed, metric):
    shelf = Shelf()
    result = train(box, plain(500, seed=seed, positives=0.08), kind="constant", registry=shelf, primary_metric=metric)
    assert result["metrics"]["accuracy"] > 0.88, (
        "a constant model on 92 % zeros has another accuracy than its majority share"
    )
    assert_refused(result, shelf, f"the model always predicts the majority class ({metric})")


@requirement("R11")
def test_a_constant_model_does_not_replace_a_weak_champion(box, seed):
    shelf = Shelf({"version": 1, "metrics": {"accuracy": 0.1, "balanced_accuracy": 0.1}})
    result = train(box, plain(500, seed=seed, positives=0.08), kind="constant", registry=shelf)
    assert_refused(result, shelf, "the model only predicts the majority class, the champion is even weaker")


@requirement("R11")
def test_both_conditions_must_hold(box, seed):
    shelf = Shelf({"version": 1, "metrics": {"balanced_accuracy": 0.2}})
    result = train(box, customers(seed=seed), registry=shelf, min_improvement=0.6)
    assert_refused(result, shelf, "the model beats the champion and misses min_improvement")


@requirement("R11")
@pytest.mark.parametrize("champion", [{"version": 2, "metrics": {"accuracy": 0.1}}, {"version": 2, "metrics": {}}])
def test_a_champion_without_the_primary_metric_stays(box, seed, champion):
    shelf = Shelf(champion)
    result = train(box, customers(seed=seed), registry=shelf, primary_metric="f1")
    assert_refused(result, shelf, "the champion has no f1")


@requirement("R11")
@pytest.mark.parametrize(
    "error", [RuntimeError("shelf 12 is closed"), OSError("no route to shelf 12"), KeyError("shelf 12")]
)
def test_a_registry_that_cannot_name_its_champion_gets_no_model(box, seed, error):
    shelf = Shelf(champion_error=error)
    result = train(box, customers(seed=seed), registry=shelf)
    assert_refused(result, shelf, "champion() raised")
    assert "shelf 12" in result["reason"], f"champion() raised {error!r}, and reason is {result['reason']!r}"
    assert len(result["model"].predict(customers(9, seed=1)[FEATURES])) == 9, (
        "champion() raised, and the result has no model"
    )


@requirement("R11")
@pytest.mark.parametrize(
    "error", [RuntimeError("disk quota 9 exceeded"), ConnectionError("quota 9"), ValueError("quota 9")]
)
def test_a_registry_that_fails_to_register_does_not_lose_the_run(box, seed, error):
    shelf, data = Shelf(register_error=error), customers(seed=seed)
    result = train(box, data, registry=shelf)
    assert len(shelf.calls) == 1, f"register() raised, and was called {len(shelf.calls)} times"
    shelf.calls.clear()
    assert_refused(result, shelf, "register() raised")
    assert "quota 9" in result["reason"], f"register() raised {error!r}, and reason is {result['reason']!r}"
    assert "accuracy" in result["metrics"], "register() raised, and the result has no metrics"
    assert len(result["model"].predict(data[FEATURES])) == len(data), "register() raised, and the result has no model"
