"""What goes in: valid requests, batches, bad requests, NaN, and the order of columns (R1, R2, R3, R6, R9)."""

import json
import random

import numpy as np
import pytest

from rounds.testing import lend, requirement

NAMES = ["hour", "amount", "country_risk"]
ROW = {"hour": 3, "amount": 120.5, "country_risk": 0.25}
WEIGHTS = [10_000.0, 8.0, 0.5]


class Recorder:
    """A model that keeps the tables it was given and answers with a weighted sum, or as told."""

    def __init__(self, answer=None, names=None):
        self.calls = []
        self.answer = answer or (lambda table: [score(row) for row in table])
        if names is not None:
            self.feature_names_in_ = names

    def predict(self, rows):
        table = np.asarray(rows, dtype=float).tolist()
        self.calls.append(table)
        return self.answer(table)

    def lent(self):
        return lend(self, "predict", **{k: v for k, v in vars(self).items() if k == "feature_names_in_"})


def score(row):
    return float(sum(weight * value for weight, value in zip(WEIGHTS, row, strict=False)))


def expected(row):
    return score([row[name] for name in NAMES])


def api_of(submission, recorder, **options):
    return submission.ModelAPI(**{"model": recorder.lent(), "feature_names": NAMES, "model_version": "7", **options})


def start(submission, serve, recorder, **options):
    return serve(submission.create_app(api_of(submission, recorder, **options)))


def post(client, body):
    """Post `body`, as it stands if it is text, and else as JSON."""
    text = body if isinstance(body, str) else json.dumps(body)
    return client.post("/predict", content=text.encode(), headers={"Content-Type": "application/json"})


def answered(response, what):
    assert response.status_code == 200, f"{what} was answered {response.status_code}: {response.text[:300]}"
    return response.json()


# R1


@requirement("R1")
def test_a_valid_row_is_answered_with_the_value_of_the_model(submission, serve):
    client = start(submission, serve, Recorder())
    for values in ((3, 120.5, 0.25), (0, 0, 0), (-4, -17.5, 1e-3), (23.0, 1e9, -0.5), (1, 2, 3)):
        row = dict(zip(NAMES, values, strict=True))
        seen = answered(post(client, {"features": row}), f"the valid row {row}").get("prediction")
        what = f"the model returned {expected(row)} for {row}, and `prediction` was {seen!r}"
        assert type(seen) in (int, float), what
        assert seen == pytest.approx(expected(row)), what


@requirement("R1")
def test_the_prediction_is_what_the_model_returned(submission, serve):
    values = [0.0, 0, 1, -3, 0.125, 1e12, -2.5e-7]
    model = Recorder(lambda table: [values[len(model.calls) - 1]])
    client = start(submission, serve, model)
    for value in values:
        seen = answered(post(client, {"features": ROW}), "a valid row").get("prediction")
        assert type(seen) in (int, float), f"the model returned [{value}], and `prediction` was {seen!r}"
        assert seen == value, f"the model returned [{value}], and `prediction` was {seen!r}"


@requirement("R1")
def test_a_label_is_answered_as_a_string(submission, serve):
    labels = ["fraud", "legitimate", "0", "12.5"]
    model = Recorder(lambda table: np.array([labels[len(model.calls) - 1]]))
    client = start(submission, serve, model)
    for label in labels:
        seen = answered(post(client, {"features": ROW}), "a valid row").get("prediction")
        assert seen == label, f"the model returned the string {label!r}, and `prediction` was {seen!r}"


@requirement("R1")
def test_the_version_given_is_answered(submission, serve, seed):
    version = f"2026.11-{random.Random(seed).randrange(10**6)}"
    client = start(submission, serve, Recorder(), model_version=version)
    seen = answered(post(client, {"features": ROW}), "a valid row").get("model_version")
    assert seen == version, f"the model was given the version {version!r}, and `model_version` was {seen!r}"


@requirement("R1")
def test_without_a_version_the_version_is_0(submission, serve):
    api = submission.ModelAPI(model=Recorder().lent(), feature_names=NAMES)
    seen = answered(post(serve(submission.create_app(api)), {"features": ROW}), "a valid row").get("model_version")
    assert seen == "0", f"no version was given, and `model_version` was {seen!r}"


@requirement("R1")
def test_a_request_id_is_answered(submission, serve):
    seen = answered(post(start(submission, serve, Recorder()), {"features": ROW}), "a valid row").get("request_id")
    assert type(seen) is str, f"`request_id` was {seen!r}, which is no string"
    assert seen, "`request_id` was an empty string"


@requirement("R1")
def test_the_model_is_called_once_with_one_row(submission, serve):
    model = Recorder()
    client = start(submission, serve, model)
    for asked in (1, 2, 3):
        answered(post(client, {"features": ROW}), "a valid row")
        shapes = [np.shape(table) for table in model.calls]
        assert shapes == [(1, 3)] * asked, f"after {asked} requests the model had been called with the shapes {shapes}"


@requirement("R1")
def test_predict_returns_value_and_version(submission):
    model = Recorder()
    result = api_of(submission, model).predict(ROW)
    assert result["prediction"] == pytest.approx(expected(ROW)), (
        f"the model returned {expected(ROW)}, and predict() returned {result}"
    )
    assert result["model_version"] == "7", f"the version given is '7', and predict() returned {result}"
    assert len(model.calls) == 1, f"predict() called the model {len(model.calls)} times"


@requirement("R1")
def test_the_names_of_the_model_do_when_none_are_given(submission, serve):
    client = start(submission, serve, Recorder(names=NAMES), feature_names=None)
    seen = answered(post(client, {"features": ROW}), "a row with the model's own feature_names_in_").get("prediction")
    assert seen == pytest.approx(expected(ROW)), f"the model returned {expected(ROW)}, and `prediction` was {seen!r}"


# R2


def rows_of(count, seed=0):
    generator = random.Random(seed)
    return [
        {"hour": generator.randrange(24), "amount": generator.uniform(-9, 900), "country_risk": generator.random()}
        for _ in range(count)
    ]


@requirement("R2")
def test_a_batch_up_to_the_limit_is_answered_in_order_by_one_call(submission, serve, seed):
    model = Recorder()
    client = start(submission, serve, model, max_batch=20)
    for count in (2, 1, 3, 19, 20):
        model.calls.clear()
        rows = rows_of(count, seed)
        seen = answered(post(client, {"instances": rows}), f"a batch of {count} with max_batch=20").get("predictions")
        assert isinstance(seen, list), f"a batch of {count} rows had the `predictions` {seen!r}, which is no list"
        assert seen == pytest.approx([expected(row) for row in rows]), (
            f"the {count} predictions were not the model's, in the order of the rows"
        )
        shapes = [np.shape(table) for table in model.calls]
        assert shapes == [(count, 3)], f"a batch of {count} rows called the model with the shapes {shapes}"


@requirement("R2")
def test_a_thousand_rows_are_served_by_default(submission, serve):
    model, rows = Recorder(), rows_of(1000)
    seen = answered(post(start(submission, serve, model), {"instances": rows}), "a batch of 1000 rows")["predictions"]
    assert seen == pytest.approx([expected(row) for row in rows]), "1000 predictions were not the model's, in order"
    assert len(model.calls) == 1, f"a batch of 1000 rows called the model {len(model.calls)} times"


@requirement("R2")
def test_equal_rows_are_answered_one_by_one(submission, serve):
    other = {**ROW, "hour": 9}
    rows = [ROW, other, ROW, ROW, other]
    seen = answered(post(start(submission, serve, Recorder()), {"instances": rows}), "a batch with equal rows")
    assert seen["predictions"] == pytest.approx([expected(row) for row in rows]), (
        f"five rows, three of them equal, had the predictions {seen['predictions']}"
    )


@requirement("R2")
def test_a_batch_carries_version_and_request_id(submission, serve):
    body = answered(post(start(submission, serve, Recorder()), {"instances": [ROW, ROW]}), "a batch of two")
    assert body.get("model_version") == "7", f"the version given is '7', and the batch was answered {body}"
    assert type(body.get("request_id")) is str, f"the batch was answered without a request_id: {body}"
    assert body["request_id"], "the batch was answered with an empty request_id"


@requirement("R2")
def test_labels_of_a_batch_keep_their_order(submission, serve):
    model = Recorder(lambda table: np.array([f"class-{int(row[0])}" for row in table]))
    rows = [{**ROW, "hour": hour} for hour in (5, 2, 9, 1)]
    seen = answered(post(start(submission, serve, model), {"instances": rows}), "a batch of four")["predictions"]
    assert seen == ["class-5", "class-2", "class-9", "class-1"], f"the labels came back as {seen}"


@requirement("R2")
@pytest.mark.parametrize("count", [1, 4])
def test_predict_batch_does_the_same(submission, count, seed):
    model, rows = Recorder(), rows_of(count, seed)
    result = api_of(submission, model, max_batch=4).predict_batch(rows)
    assert result["predictions"] == pytest.approx([expected(row) for row in rows]), (
        f"predict_batch() of {count} rows returned {result}"
    )
    assert result["model_version"] == "7", f"the version given is '7', and predict_batch() returned {result}"
    assert len(model.calls) == 1, f"predict_batch() of {count} rows called the model {len(model.calls)} times"


# R3

NO_NUMBERS = ["12.5", "abc", "", True, False, None, [1.5], [], {"value": 1}, {}]


def without(name):
    return {key: value for key, value in ROW.items() if key != name}


def refused(response, model, what, named=None, statuses=(422,)):
    assert response.status_code in statuses, (
        f"{what} was answered {response.status_code} and not {' or '.join(map(str, statuses))}: {response.text[:200]}"
    )
    assert not model.calls, f"{what} reached the model"
    if named:
        assert named in response.text, f"{what} was refused without naming {named!r}: {response.text[:300]}"


@requirement("R3")
def test_a_value_that_is_no_number_is_refused_by_name(submission, serve):
    model = Recorder()
    client = start(submission, serve, model)
    for name in NAMES:
        for value in NO_NUMBERS:
            response = post(client, {"features": {**ROW, name: value}})
            refused(response, model, f"the value {value!r} for {name}", named=name)


@requirement("R3")
def test_a_value_that_is_no_number_is_refused_in_any_row(submission, serve):
    model = Recorder()
    client = start(submission, serve, model)
    for position in (0, 1, 2):
        for value in NO_NUMBERS:
            rows = [dict(ROW) for _ in range(3)]
            rows[position]["amount"] = value
            what = f"a batch with {value!r} for amount in row {position} of 3"
            refused(post(client, {"instances": rows}), model, what, named="amount")


@requirement("R3")
def test_a_missing_feature_is_refused_by_name(submission, serve):
    model = Recorder()
    client = start(submission, serve, model)
    for name in NAMES:
        refused(post(client, {"features": without(name)}), model, f"a row without {name}", named=name)
        what = f"a batch whose last row lacks {name}"
        refused(post(client, {"instances": [ROW, ROW, without(name)]}), model, what, named=name)
        what = f"a batch whose first row lacks {name}"
        refused(post(client, {"instances": [without(name), ROW]}), model, what, named=name)


@requirement("R3")
def test_an_unknown_feature_is_refused_by_name(submission, serve):
    model = Recorder()
    client = start(submission, serve, model)
    for value in (1.5, 0):
        refused(post(client, {"features": {**ROW, "postcode": value}}), model, "an unknown feature", named="postcode")
        for rows in ([{**ROW, "postcode": value}, ROW], [ROW, ROW, {**ROW, "postcode": value}]):
            what = "a batch with an unknown feature in one row"
            refused(post(client, {"instances": rows}), model, what, named="postcode")


@requirement("R3")
def test_a_name_in_other_case_is_unknown(submission, serve):
    model = Recorder()
    response = post(start(submission, serve, model), {"features": {**ROW, "Amount": 1.0}})
    refused(response, model, "the unknown feature Amount beside amount", named="Amount")


@requirement("R3")
def test_names_taken_from_the_model_are_checked_too(submission, serve):
    model = Recorder(names=NAMES)
    client = start(submission, serve, model, feature_names=None)
    refused(post(client, {"features": without("amount")}), model, "a row without amount", named="amount")
    refused(post(client, {"features": {**ROW, "postcode": 1}}), model, "an unknown feature", named="postcode")
    refused(post(client, {"features": {**ROW, "hour": "3"}}), model, "the text '3' for hour", named="hour")


WRONG_FEATURES = [{}, None, [ROW], [3, 120.5, 0.25], "hour=3", "", 3, 0, [], True, False]
WRONG_INSTANCES = [
    [],
    None,
    ROW,
    {},
    "all",
    "",
    1,
    0,
    True,
    [ROW, None],
    [[3, 120.5, 0.25]],
    [ROW, 5],
    ["hour"],
    [{}],
    [[ROW]],
]
WRONG_BODIES = [{}, {"rows": [ROW]}, ROW, [], [ROW], [{"features": ROW}], 3, 0, 1.5, "features", "", None, True, False]


@requirement("R3")
@pytest.mark.parametrize(
    "bodies",
    [
        [{"features": value} for value in WRONG_FEATURES],
        [{"instances": value} for value in WRONG_INSTANCES],
        WRONG_BODIES,
        [{"features": ROW, "instances": [ROW]}, {"instances": [ROW, ROW], "features": ROW}],
    ],
    ids=["features", "instances", "outside", "both"],
)
def test_a_body_of_the_wrong_shape_is_refused(submission, serve, bodies):
    model = Recorder()
    client = start(submission, serve, model)
    for body in bodies:
        refused(post(client, body), model, f"the body {json.dumps(body)}")


@requirement("R3")
def test_a_body_that_is_not_json_is_refused(submission, serve):
    model = Recorder()
    client = start(submission, serve, model)
    valid = json.dumps({"features": ROW})
    for text in (
        "",
        " ",
        "{",
        valid[:-1],
        valid + "}",
        "features=1",
        "{'features': {}}",
        '{"features": }',
        "\x00",
        "nul",
    ):
        refused(post(client, text), model, f"the body {text!r}", statuses=(400, 422))


@requirement("R3")
def test_a_body_that_is_not_utf8_is_refused(submission, serve):
    model = Recorder()
    client = start(submission, serve, model)
    bad = b'{"features": {"\xff\xfe": 1}}'
    response = client.post("/predict", content=bad, headers={"Content-Type": "application/json"})
    refused(response, model, "a body that is not UTF-8", statuses=(400, 422))


@requirement("R3")
def test_good_requests_are_served_after_bad_ones(submission, serve):
    model = Recorder()
    client = start(submission, serve, model)
    for body in ({"features": without("hour")}, "{", {"instances": []}):
        refused(post(client, body), model, f"the body {body!r}", statuses=(400, 422))
    answered(post(client, {"features": ROW}), "a valid row after three bad requests")


@requirement("R3")
def test_direct_calls_refuse_bad_features(submission):
    model = Recorder()
    api = api_of(submission, model)
    wrong_values = [{**ROW, "amount": value} for value in NO_NUMBERS]
    for features in (without("hour"), {**ROW, "postcode": 1}, {}, *wrong_values):
        for call in (lambda row: api.predict(row), lambda row: api.predict_batch([ROW, row])):
            try:
                call(features)
            except submission.FeatureValidationError:
                continue
            pytest.fail(f"a direct call with the features {features} raised nothing")
    assert not model.calls, "bad features reached the model"


@requirement("R3")
def test_predict_batch_refuses_an_empty_list(submission):
    model = Recorder()
    api = api_of(submission, model)
    with pytest.raises(submission.FeatureValidationError):
        api.predict_batch([])
    assert not model.calls, "an empty list reached the model"


@requirement("R3")
def test_a_validation_error_is_a_value_error(submission):
    with pytest.raises(submission.FeatureValidationError) as caught:
        api_of(submission, Recorder()).predict(without("hour"))
    assert issubclass(caught.type, ValueError), "FeatureValidationError is no longer a ValueError"


# R6


def strict(response, what):
    def refuse(constant):
        pytest.fail(f"{what} was answered with {constant} in the body, which is not JSON: {response.text[:200]}")

    try:
        return json.loads(response.text, parse_constant=refuse)
    except ValueError:
        pytest.fail(f"{what} was answered with a body that is not JSON: {response.text[:200]!r}")


NOT_FINITE = ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", '"nan"']


def spelled(row, name, text):
    """The row as JSON, with `text` in the place of one value."""
    return json.dumps({**row, name: "@"}).replace('"@"', text)


@requirement("R6")
def test_a_number_that_is_not_finite_answers_422(submission, serve):
    model = Recorder()
    client = start(submission, serve, model)
    for text in NOT_FINITE:
        for name in NAMES:
            response = post(client, f'{{"features": {spelled(ROW, name, text)}}}')
            refused(response, model, f"{text} for {name}")
            strict(response, f"{text} for {name}")


@requirement("R6")
def test_a_number_that_is_not_finite_answers_422_in_any_row(submission, serve):
    model = Recorder()
    client = start(submission, serve, model)
    for text in NOT_FINITE:
        for position in (0, 1, 2):
            rows = [json.dumps(ROW)] * 3
            rows[position] = spelled(ROW, "amount", text)
            what = f"{text} for amount in row {position} of 3"
            response = post(client, f'{{"instances": [{", ".join(rows)}]}}')
            refused(response, model, what)
            strict(response, what)


@requirement("R6")
def test_the_names_of_the_model_change_nothing_about_that(submission, serve):
    model = Recorder(names=np.array(NAMES, dtype=object))
    client = start(submission, serve, model, feature_names=None)
    for text in NOT_FINITE:
        response = post(client, f'{{"features": {spelled(ROW, "hour", text)}}}')
        refused(response, model, f"{text} for hour")
        strict(response, f"{text} for hour")


@requirement("R6")
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")], ids=str)
def test_direct_calls_refuse_what_is_not_finite(submission, value):
    model = Recorder()
    api = api_of(submission, model)
    with pytest.raises(submission.FeatureValidationError):
        api.predict({**ROW, "country_risk": value})
    with pytest.raises(submission.FeatureValidationError):
        api.predict_batch([ROW, {**ROW, "hour": value}, ROW])
    assert not model.calls, f"{value} reached the model"


@requirement("R6")
def test_finite_numbers_of_any_size_are_served(submission, serve):
    model = Recorder(lambda table: [1.0])
    client = start(submission, serve, model)
    for text in ("1e308", "-1e308", "1e-320", "0.0", "-0", "123456789012"):
        answered(post(client, f'{{"features": {spelled(ROW, "amount", text)}}}'), f"the finite number {text}")
        assert model.calls[-1][0][1] == float(text), f"the model was given {model.calls[-1]} for the amount {text}"


# R9

SHUFFLED = [["country_risk", "hour", "amount"], ["amount", "country_risk", "hour"], ["hour", "amount", "country_risk"]]


def turned(row, order):
    return {name: row[name] for name in order}


@requirement("R9")
def test_the_columns_are_in_the_order_of_the_names(submission, serve):
    model = Recorder()
    client = start(submission, serve, model)
    for order in SHUFFLED:
        answered(post(client, {"features": turned(ROW, order)}), "a valid row")
        assert model.calls[-1] == [[3.0, 120.5, 0.25]], f"the keys came as {order}, and the model saw {model.calls[-1]}"


@requirement("R9")
def test_every_row_of_a_batch_is_put_in_order(submission, serve):
    model = Recorder()
    rows = [turned({"hour": i, "amount": 10.0 + i, "country_risk": i / 8}, order) for i, order in enumerate(SHUFFLED)]
    answered(post(start(submission, serve, model), {"instances": rows}), "a batch whose rows differ in key order")
    wanted = [[float(i), 10.0 + i, i / 8] for i in range(3)]
    assert model.calls == [wanted], f"rows that differ in key order reached the model as {model.calls}"


@requirement("R9")
def test_the_model_own_names_give_the_order_when_none_are_given(submission, serve):
    names, row = ["zone", "amount", "hour"], {"amount": 2.0, "hour": 3.0, "zone": 1.0}
    for kind in (names, np.array(names), np.array(names, dtype=object)):
        model = Recorder(names=kind)
        answered(post(start(submission, serve, model, feature_names=None), {"features": row}), "a valid row")
        assert model.calls == [[[1.0, 2.0, 3.0]]], f"feature_names_in_ is {kind!r}, and the model saw {model.calls}"


@requirement("R9")
def test_given_names_win_over_those_of_the_model(submission, serve):
    model = Recorder(names=["amount", "country_risk", "hour"])
    answered(post(start(submission, serve, model), {"features": ROW}), "a valid row")
    assert model.calls == [[[3.0, 120.5, 0.25]]], f"the names given are {NAMES}, and the model saw {model.calls}"


@requirement("R9")
def test_the_order_is_neither_alphabetical_nor_that_of_the_request(submission, serve):
    for names in (["z", "a", "m"], ["b", "c", "a"], ["only"], [f"f{i}" for i in (10, 9, 2, 1, 11)]):
        model = Recorder()
        row = {name: names.index(name) + 0.5 for name in sorted(names, reverse=True)}
        answered(post(start(submission, serve, model, feature_names=names), {"features": row}), "a valid row")
        wanted = [[i + 0.5 for i in range(len(names))]]
        assert model.calls == [wanted], f"the names are {names}, and the model saw {model.calls}"


@requirement("R9")
@pytest.mark.parametrize("order", SHUFFLED[:2], ids="-".join)
def test_direct_calls_put_columns_in_order(submission, order):
    model = Recorder()
    api = api_of(submission, model)
    api.predict(turned(ROW, order))
    api.predict_batch([ROW, turned(ROW, order)])
    row = [3.0, 120.5, 0.25]
    assert model.calls == [[row], [row, row]], f"the keys came as {order}, and the model saw {model.calls}"


@requirement("R9")
def test_a_tuple_of_names_does_as_well(submission, serve):
    model = Recorder()
    client = start(submission, serve, model, feature_names=tuple(NAMES))
    answered(post(client, {"features": turned(ROW, SHUFFLED[0])}), "a valid row")
    assert model.calls == [[[3.0, 120.5, 0.25]]], f"the names given are {NAMES}, and the model saw {model.calls}"
