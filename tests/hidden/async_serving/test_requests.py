"""R1 to R3, R8 and R11: what clients submit and read, one bad request, idempotency keys and a full queue."""

import pytest
from serving_bench import QUEUE, URL, Bench, by_feature, check_content, check_state

from rounds.testing import lend, requirement

DOCUMENT = {"pages": 3, "title": "Äpfel", "tags": ["a", None, True], "inner": {"x": 0.5}}
VALUES = [{"score": 0.25, "labels": ["a", None]}, [0.5], [], {}, "", 0, 0.0, False, True, "äöü ✓"]


# --- R1


@requirement("R1")
def test_ids_are_texts_that_differ(submission, props):
    service = Bench().service(submission, props)
    found = [service.submit(DOCUMENT) for _ in range(5)]
    assert all(type(one) is str and one for one in found), f"submit should return non-empty strings, and gave {found}"
    assert len(set(found)) == 5, f"five requests should have five ids, and had {found}"


@requirement("R1")
def test_submit_calls_neither_model_nor_callback(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    service.submit(DOCUMENT, URL)
    service.submit(DOCUMENT, idempotency_key="k", deadline_s=5.0)
    assert bench.calls == [], f"submit called the model with {bench.calls}"
    assert bench.posts == [], f"submit posted to {[post['url'] for post in bench.posts]}"


@requirement("R1")
def test_each_submit_sends_one_message_that_is_visible_at_once(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    sent = []
    for url in (None, URL, None):
        service.submit(DOCUMENT, url)
        sent.append(len(bench.sent))
    assert sent == [1, 2, 3], f"after each of three submits the queue should have got 1, 2, 3 messages, and got {sent}"
    delays = [entry.due - bench.now for entry in bench.entries]
    assert delays == [0.0] * 3, f"the messages should be visible at once, and are delayed by {delays}"


@requirement("R1")
def test_a_new_request_is_queued(submission, props):
    service = Bench().service(submission, props)
    identifier = service.submit(DOCUMENT, URL, deadline_s=60.0)
    check_state(service, identifier, "queued", prediction=None, attempts=0, error=None)


@requirement("R1")
def test_an_unknown_id_raises_key_error(submission, props):
    service = Bench().service(submission, props)
    with pytest.raises(KeyError):
        service.status("unknown")
    service.submit(DOCUMENT)
    for unknown in ("unknown", "", "0", "1"):
        with pytest.raises(KeyError):
            service.status(unknown)


@requirement("R1")
def test_ids_come_from_the_id_factory(submission, props):
    made = []

    def id_factory():
        made.append(f"document-{len(made)}")
        return made[-1]

    service = Bench().service(submission, props, id_factory=id_factory)
    found = [service.submit(DOCUMENT) for _ in range(3)]
    assert len(set(found) & set(made)) == 3, f"id_factory returned {made}, and the ids were {found}"
    check_state(service, found[1], "queued")


@requirement("R1")
def test_ids_do_not_start_again_after_a_restart(submission, props):
    bench = Bench()
    found = []
    for _ in range(3):
        service = bench.service(submission, props)
        found += [service.submit(DOCUMENT), service.submit(DOCUMENT)]
    assert len(set(found)) == 6, f"three services over one store gave six requests the ids {found}"


@requirement("R1")
def test_requests_need_no_store_of_the_caller(submission):
    bench = Bench()
    service = submission.AsyncPredictionService(
        bench.model, lend(bench, *QUEUE), lambda *arguments: 200, resolver=lambda host: ["93.184.216.34"],
        clock=lambda: bench.now,
    )  # fmt: skip
    identifier = service.submit(DOCUMENT)
    check_state(service, identifier, "queued", attempts=0)
    submission.prediction_worker(service, max_messages=5)
    check_state(service, identifier, "succeeded", prediction={"score": 0.5})


# --- R2


@requirement("R2")
def test_a_prediction_is_passed_on_unchanged(submission, props):
    bench = Bench(predict=lambda features: VALUES[features["row"]])
    service = bench.service(submission, props)
    ids = [service.submit({"row": row}, URL) for row in range(len(VALUES))]
    bench.drain(service)
    found = {one.get("request_id"): one for one in bench.contents()}
    assert len(bench.posts) == len(found) == len(ids), f"{len(ids)} requests led to {len(bench.posts)} POSTs"
    for identifier, value in zip(ids, VALUES, strict=True):
        check_state(service, identifier, "succeeded", prediction=value, attempts=1, error=None)
        check_content(found[identifier], identifier, "succeeded", value, None)
        posted = found[identifier]["prediction"]
        assert type(posted) is type(value), f"the model returned {value!r}, and the callback says {posted!r}"


@requirement("R2")
def test_the_model_gets_the_features_as_submitted(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    rows = [DOCUMENT, [1, 2.5, None], "a text", 0, [], {}, False]
    for features in rows:
        service.submit(features)
    bench.drain(service)
    assert bench.calls == rows, f"features {rows} were submitted, and the model saw {bench.calls}"


@requirement("R2")
def test_each_callback_goes_to_its_own_url_with_its_own_id(submission, props):
    bench = Bench(predict=by_feature)
    service = bench.service(submission, props)
    urls = [URL, "http://other.example.org:8080/in/box?token=a%20b&x=1", URL + "/3"]
    ids = [service.submit({"x": x}, url) for x, url in enumerate(urls)]
    bench.drain(service)
    seen = sorted((post["url"], found["request_id"]) for post, found in zip(bench.posts, bench.contents(), strict=True))
    expected = sorted(zip(urls, ids, strict=True))
    assert seen == expected, f"POSTs of (url, request_id) should be {expected}, and were {seen}"
    predictions = {found["request_id"]: found["prediction"] for found in bench.contents()}
    assert predictions == dict(zip(ids, [0, 10, 20], strict=True)), f"predictions went out as {predictions}"


@requirement("R2")
def test_without_a_url_nothing_is_posted(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    identifier = service.submit(DOCUMENT)
    bench.drain(service)
    check_state(service, identifier, "succeeded", prediction={"score": 0.5})
    assert bench.posts == [], f"there was no callback_url, and {bench.posts[0]['url']} was posted to"


@requirement("R2")
@pytest.mark.parametrize("config", [{}, {"callback_timeout_s": 3.5}])
def test_a_post_gets_the_timeout_of_the_config(submission, props, config):
    bench = Bench()
    service = bench.service(submission, props, **config)
    service.submit(DOCUMENT, URL)
    bench.drain(service)
    seen = [post["timeout"] for post in bench.posts]
    expected = [config.get("callback_timeout_s", 15.0)]
    assert seen == expected, f"the timeouts of the POSTs should be {expected}, and were {seen}"


@requirement("R2")
def test_successes_are_counted(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    for url in (URL, None, URL):
        service.submit(DOCUMENT, url)
    bench.drain(service)
    nothing = dict.fromkeys(("callbacks_failed", "retried", "expired", "dead_lettered"), 0)
    expected = {"succeeded": 3, "callbacks_ok": 2, **nothing}
    assert bench.stats == expected, f"three successes, two with a callback, were counted as {bench.stats}"


@requirement("R2")
def test_statistics_are_of_one_run(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    seen = []
    for count in (2, 1):
        for _ in range(count):
            service.submit(DOCUMENT)
        seen.append(bench.work(service).succeeded)
    assert seen == [2, 1], f"two runs with 2 and 1 successes counted {seen}"


# --- R3


@requirement("R3")
@pytest.mark.parametrize("bad", [0, 1, 3])
def test_one_bad_request_leaves_three_good_ones(submission, props, bad):
    bench = Bench(predict=by_feature)
    service = bench.service(submission, props)
    ids = [service.submit({"x": -1 if i == bad else i + 1}) for i in range(4)]
    bench.work(service, max_messages=4)
    for i, identifier in enumerate(ids):
        if i != bad:
            check_state(service, identifier, "succeeded", prediction=10 * i + 10)


@requirement("R3")
def test_many_bad_requests_leave_the_good_ones(submission, props):
    bench = Bench(predict=by_feature)
    service = bench.service(submission, props)
    ids = {x: service.submit({"x": x}, URL) for x in (-1, -2, 1, -3, 2)}
    bench.drain(service)
    for x in (1, 2):
        check_state(service, ids[x], "succeeded", prediction=10 * x)


@requirement("R3")
@pytest.mark.parametrize("kind", ["PatientError", "AssertionError", "MemoryError"])
def test_whatever_exception_it_is(submission, props, kind):
    bench = Bench()
    service = bench.service(submission, props, model=props.FailingModel([kind]))
    service.submit({"x": 1})
    second = service.submit({"x": 2})
    bench.work(service, max_messages=2)
    check_state(service, second, "succeeded", prediction="done")


@requirement("R3")
@pytest.mark.parametrize("error", [TimeoutError("slow"), KeyError("x")], ids=["timeout", "key"])
def test_the_last_attempt_takes_no_other_down_either(submission, props, error):
    def predict(features):
        if features["x"] < 0:
            raise error
        return features["x"]

    bench = Bench(predict=predict)
    service = bench.service(submission, props, max_attempts=1)
    service.submit({"x": -1}, URL)
    good = service.submit({"x": 7})
    bench.drain(service)
    check_state(service, good, "succeeded", prediction=7)


# --- R8


@requirement("R8")
def test_a_repeated_key_is_one_request(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    ids = [service.submit(DOCUMENT, URL, idempotency_key="k-1") for _ in range(3)]
    assert len(set(ids)) == 1, f"three submits with one key gave the ids {ids}"
    assert len(bench.sent) == 1, f"three submits with one key sent {len(bench.sent)} messages"
    bench.drain(service)
    assert len(bench.calls) == 1, f"one key led to {len(bench.calls)} calls of the model"


@requirement("R8")
@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_a_key_is_remembered_after_the_end(submission, props, outcome):
    bench = Bench(predict=by_feature)
    service = bench.service(submission, props, max_attempts=1)
    features = {"x": 1 if outcome == "succeeded" else -1}
    first = service.submit(features, URL, idempotency_key="k")
    bench.drain(service)
    again = service.submit(features, URL, idempotency_key="k")
    assert again == first, f"the key gave {first} before and {again} after the request had {outcome}"
    bench.drain(service)
    assert len(bench.calls) == 1, f"after the request had {outcome}, its key led to a further call of the model"


@requirement("R8")
def test_a_key_is_remembered_after_a_restart(submission, props):
    bench = Bench()
    first = bench.service(submission, props).submit(DOCUMENT, idempotency_key="k")
    service = bench.service(submission, props)
    again = service.submit(DOCUMENT, idempotency_key="k")
    assert again == first, f"a new service over the same store gave {again} for the key of {first}"
    assert len(bench.sent) == 1, f"the repeat after the restart made it {len(bench.sent)} messages"
    with pytest.raises(ValueError):
        service.submit({"pages": 4}, idempotency_key="k")


@requirement("R8")
@pytest.mark.parametrize("other", [{**DOCUMENT, "inner": {"x": 0.75}}, {}], ids=["inside", "empty"])
def test_a_key_with_other_features_is_refused(submission, props, other):
    bench = Bench()
    service = bench.service(submission, props)
    identifier = service.submit(DOCUMENT, idempotency_key="k")
    with pytest.raises(ValueError):
        service.submit(other, idempotency_key="k")
    assert len(bench.sent) == 1, f"a refused repeat sent a message, number {len(bench.sent)}"
    bench.drain(service)
    assert bench.calls == [DOCUMENT], f"the first request should be served as it was, and the model saw {bench.calls}"
    assert service.submit(DOCUMENT, idempotency_key="k") == identifier, "the refused repeat changed what the key means"


@requirement("R8")
def test_other_keys_and_no_key_are_other_requests(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    ids = [service.submit(DOCUMENT, idempotency_key=key) for key in ("a", "b", None, None)]
    assert len(set(ids)) == 4, f"keys a, b and twice none, for equal features, gave the ids {ids}"
    bench.drain(service)
    assert len(bench.calls) == 4, f"four requests led to {len(bench.calls)} calls of the model"


@requirement("R8")
def test_a_key_is_not_an_id(submission, props):
    service = Bench().service(submission, props)
    service.submit(DOCUMENT, idempotency_key="invoice-7")
    with pytest.raises(KeyError):
        service.status("invoice-7")


@requirement("R8")
def test_a_key_may_equal_an_earlier_id(submission, props):
    bench = Bench(predict=by_feature)
    service = bench.service(submission, props)
    first = service.submit({"x": 1})
    second = service.submit({"x": 2}, idempotency_key=first)
    assert second != first, "a key that equals the id of another request gave that request"
    assert service.submit({"x": 2}, idempotency_key=first) == second, "the repeat of that key gave another id"
    bench.drain(service)
    check_state(service, first, "succeeded", prediction=10)
    check_state(service, second, "succeeded", prediction=20)


@requirement("R8")
def test_a_key_may_equal_a_later_id(submission, props):
    bench = Bench(predict=by_feature)
    ids = iter([f"document-{number}" for number in range(20)])
    service = bench.service(submission, props, id_factory=lambda: next(ids))
    first = service.submit({"x": 1}, idempotency_key="document-1")
    second = service.submit({"x": 2})
    bench.drain(service)
    check_state(service, first, "succeeded", prediction=10)
    check_state(service, second, "succeeded", prediction=20)
    assert service.submit({"x": 1}, idempotency_key="document-1") == first, "a later id took the place of an equal key"


# --- R11


@requirement("R11")
@pytest.mark.parametrize("limit", [1, 3])
def test_a_queue_of_max_depth_is_full(submission, props, limit):
    bench = Bench()
    service = bench.service(submission, props, max_depth=limit)
    for _ in range(limit):
        service.submit(DOCUMENT)
    with pytest.raises(submission.QueueFull):
        service.submit(DOCUMENT)
    assert len(bench.sent) == limit, f"with max_depth={limit}, {len(bench.sent)} messages were sent"


@requirement("R11")
def test_the_limit_is_a_thousand_by_default_and_goes_by_depth(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    bench.full = 999
    service.submit(DOCUMENT)
    for depth in (1000, 1001, 5000):
        bench.full = depth
        with pytest.raises(submission.QueueFull):
            service.submit(DOCUMENT)
    assert len(bench.sent) == 1, f"with depths of 999, 1000, 1001 and 5000, {len(bench.sent)} messages were sent"


@requirement("R11")
def test_a_refused_request_leaves_the_store_as_it_was(submission, props):
    bench = Bench()
    service = bench.service(submission, props, max_depth=1)
    service.submit(DOCUMENT)
    before = props.content(bench.store)
    with pytest.raises(submission.QueueFull):
        service.submit(DOCUMENT, URL, idempotency_key="k", deadline_s=9.0)
    after = props.content(bench.store)
    assert after == before, f"a refused submit changed the store from {before} to {after}"


@requirement("R11")
@pytest.mark.parametrize("features", [DOCUMENT, {"pages": 9}], ids=["same", "other"])
def test_the_key_of_a_refused_request_is_free(submission, props, features):
    bench = Bench()
    service = bench.service(submission, props, max_depth=1)
    first = service.submit({"pages": 1})
    with pytest.raises(submission.QueueFull):
        service.submit(DOCUMENT, idempotency_key="k")
    bench.drain(service)
    second = service.submit(features, idempotency_key="k")
    assert second != first, "the key of a refused request gave another request"
    bench.drain(service)
    check_state(service, second, "succeeded")
    assert bench.calls == [{"pages": 1}, features], f"the model should see both accepted requests: {bench.calls}"


@requirement("R11")
def test_the_worker_is_not_limited(submission, props):
    bench = Bench(answers=[OSError("down"), OSError("down"), 200])
    service = bench.service(submission, props, max_depth=1)
    identifier = service.submit(DOCUMENT, URL)
    bench.full = 10
    bench.drain(service)
    check_state(service, identifier, "succeeded", prediction={"score": 0.5})
    assert len(bench.posts) == 3, f"a full queue should not stop retries of callbacks; POSTs: {len(bench.posts)}"
