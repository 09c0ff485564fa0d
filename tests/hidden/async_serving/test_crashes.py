"""R4, R6, R12 and R13: workers that die, messages that come twice, deadlines, and a worker that is told to stop."""

import threading

import pytest
from serving_bench import START, TWO_HOURS, URL, Bench, by_feature, check_content, check_state

from rounds.testing import requirement

DOCUMENT = {"pages": 3}
PATIENCE_S = 3.0  # for workers that let a duplicate wait: those are right, too


# --- R4


def crashed(bench, submission, props, script, count=1, url=URL, kind="Crash"):
    """Submit requests, run a worker into the crash, and return their ids and the model."""
    bench.store = props.Store()
    model = props.CrashingModel(bench.store, script)
    service = bench.service(submission, props, model=model)
    ids = [service.submit({"x": i}, url) for i in range(count)]
    raised = props.work(submission, service, 50)
    assert raised == kind, f"the worker should let a crash ({kind}) through, and raised {raised}"
    return ids, model


def finish(bench, submission, props):
    """Let a new process take over."""
    bench.show_again()
    bench.now += 1.0
    service = bench.service(submission, props)
    bench.drain(service, within=TWO_HOURS)
    return service


def check_delivered(bench, identifier, prediction):
    found = [one for one in bench.contents() if one.get("request_id") == identifier]
    assert found, f"a request was finished after a restart, and its callback is missing among {len(bench.posts)} POSTs"
    check_content(found[0], identifier, "succeeded", prediction, None)


@requirement("R4")
@pytest.mark.parametrize("kind", ["Crash", "SystemExit"])
def test_a_crash_in_predict_leaves_the_message(submission, props, kind):
    bench = Bench()
    (identifier,), _ = crashed(bench, submission, props, [{"crash": kind}], kind=kind)
    assert bench.acked == [], "the worker died inside predict, and had acked the message"
    assert bench.dead == [], "the worker died inside predict, and had dead-lettered the message"
    service = finish(bench, submission, props)
    check_state(service, identifier, "succeeded", prediction={"score": 0.5}, error=None)
    check_delivered(bench, identifier, {"score": 0.5})


@requirement("R4")
def test_a_crash_while_the_result_is_stored_leaves_the_message(submission, props):
    bench = Bench()
    (identifier,), model = crashed(bench, submission, props, [{"then": "lost", "store": "Crash"}])
    assert len(props.seen(model)) == 1, "the model was called more than once before the crash"
    assert bench.acked == [], "the worker died before the result was stored, and had acked the message"
    service = finish(bench, submission, props)
    check_state(service, identifier, "succeeded", prediction={"score": 0.5}, error=None)
    check_delivered(bench, identifier, {"score": 0.5})


@requirement("R4")
def test_a_crash_without_a_callback_is_finished_too(submission, props):
    bench = Bench()
    (identifier,), _ = crashed(bench, submission, props, [{"then": 1, "store": "Crash"}], url=None)
    service = finish(bench, submission, props)
    check_state(service, identifier, "succeeded", prediction={"score": 0.5})


@requirement("R4")
@pytest.mark.parametrize("end", [{"crash": "Crash"}, {"then": "lost", "store": "Crash"}], ids=["predict", "store"])
def test_a_crash_costs_neither_what_was_done_nor_what_waits(submission, props, end):
    bench = Bench(predict=lambda features: "second life")
    ids, _ = crashed(bench, submission, props, ["first life", end], count=4)
    service = finish(bench, submission, props)
    check_state(service, ids[0], "succeeded", prediction="first life")
    for identifier in ids[1:]:
        check_state(service, identifier, "succeeded", prediction="second life")
    again = [features["x"] for features in bench.calls]
    assert sorted(again) == [1, 2, 3], f"0 was done, 1 crashed, 2 and 3 waited; the new worker predicted {again}"


@requirement("R4")
def test_a_new_service_knows_what_waits(submission, props):
    bench = Bench(predict=by_feature)
    old = bench.service(submission, props)
    ids = [old.submit({"x": x}, URL) for x in (1, 2)]
    service = bench.service(submission, props)
    check_state(service, ids[0], "queued", prediction=None, attempts=0, error=None)
    bench.drain(service)
    for x, identifier in zip((1, 2), ids, strict=True):
        check_state(service, identifier, "succeeded", prediction=10 * x)
        check_delivered(bench, identifier, 10 * x)


@requirement("R4")
def test_a_new_service_knows_what_has_ended(submission, props):
    bench = Bench(predict=by_feature)
    old = bench.service(submission, props)
    ids = [old.submit({"x": x}) for x in (1, 2, -1)]
    bench.drain(old)
    before = [old.status(identifier) for identifier in ids]
    service = bench.service(submission, props)
    after = [service.status(identifier) for identifier in ids]
    assert after == before, f"a restart changed what status says from {before} to {after}"


@requirement("R4")
def test_a_retry_that_waits_at_a_restart_is_made(submission, props):
    bench = Bench(predict=lambda features: "second life")
    old = bench.service(submission, props, model=props.FailingModel(["PatientError"] * 9))
    identifier = old.submit(DOCUMENT, URL)
    bench.work(old)
    service = bench.service(submission, props)
    bench.drain(service)
    check_state(service, identifier, "succeeded", prediction="second life", error=None)
    check_delivered(bench, identifier, "second life")


# --- R6


@requirement("R6")
@pytest.mark.parametrize("restart", [False, True], ids=["same service", "new service"])
def test_a_duplicate_after_success_changes_nothing(submission, props, restart):
    bench = Bench()
    service = bench.service(submission, props)
    identifier = service.submit(DOCUMENT, URL)
    bench.drain(service)
    before = service.status(identifier)
    bench.answer = lambda features: "another"
    service = bench.service(submission, props) if restart else service
    bench.duplicate()
    bench.drain(service)
    assert len(bench.calls) == 1, f"a message that came again made it {len(bench.calls)} calls of the model"
    after = service.status(identifier)
    assert after == before, f"a message that came again changed the status from {before} to {after}"
    assert len(bench.posts) == 1, f"a delivered callback was posted {len(bench.posts)} times"


@requirement("R6")
def test_duplicates_that_wait_together_are_predicted_once(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    identifier = service.submit(DOCUMENT, URL)
    bench.duplicate()
    bench.duplicate()
    bench.drain(service)
    assert len(bench.calls) == 1, f"three deliveries of one message led to {len(bench.calls)} calls of the model"
    check_state(service, identifier, "succeeded", prediction={"score": 0.5}, attempts=1)
    assert len(bench.posts) == 1, f"three deliveries of one message led to {len(bench.posts)} delivered callbacks"


@requirement("R6")
def test_a_duplicate_between_two_requests_hinders_neither(submission, props):
    bench = Bench(predict=by_feature)
    service = bench.service(submission, props)
    first = service.submit({"x": 1})
    bench.duplicate()
    second = service.submit({"x": 2})
    bench.drain(service)
    assert bench.calls == [{"x": 1}, {"x": 2}], f"with a duplicate between two requests the model saw {bench.calls}"
    check_state(service, first, "succeeded", prediction=10)
    check_state(service, second, "succeeded", prediction=20)


@requirement("R6")
@pytest.mark.parametrize("restart", [False, True], ids=["same service", "new service"])
def test_a_duplicate_after_failure_changes_nothing(submission, props, restart):
    bench = Bench(predict=by_feature)
    service = bench.service(submission, props, max_attempts=1)
    identifier = service.submit({"x": -1}, URL)
    bench.drain(service)
    before = service.status(identifier)
    bench.answer = lambda features: "works now"
    service = bench.service(submission, props, max_attempts=1) if restart else service
    bench.duplicate()
    bench.drain(service)
    assert len(bench.calls) == 1, f"the only attempt was used, and a duplicate made it {len(bench.calls)} calls"
    after = service.status(identifier)
    assert after == before, f"a duplicate changed the status of a failed request from {before} to {after}"
    assert len(bench.posts) == 1, f"the failure was called back {len(bench.posts)} times"


@requirement("R6")
def test_a_duplicate_after_expiry_changes_nothing(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    identifier = service.submit(DOCUMENT, URL, deadline_s=10.0)
    bench.now += 20.0
    bench.drain(service)
    before, posts = service.status(identifier), len(bench.posts)
    bench.duplicate()
    bench.drain(service)
    after = service.status(identifier)
    assert after == before, f"a duplicate changed the status after the end from {before} to {after}"
    assert len(bench.posts) == posts, f"a duplicate after the end made {len(bench.posts) - posts} more POSTs"


@requirement("R6")
def test_a_duplicate_after_the_deadline_leaves_a_success(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    identifier = service.submit(DOCUMENT, URL, deadline_s=10.0)
    bench.drain(service)
    bench.now += 1000.0
    bench.duplicate()
    bench.drain(service)
    check_state(service, identifier, "succeeded", prediction={"score": 0.5}, error=None)
    assert len(bench.posts) == 1, f"a duplicate after the deadline made it {len(bench.posts)} callbacks"


class Doorman:
    """Holds the first call of predict until it is opened: by a second call, or from outside."""

    def __init__(self, answer):
        self.answer = answer
        self.lock = threading.Lock()
        self.count, self.inside, self.open = 0, threading.Event(), threading.Event()

    def __call__(self, features):
        with self.lock:
            self.count += 1
            first = self.count == 1
        if first:
            self.inside.set()
            self.open.wait(2 * PATIENCE_S)
        else:
            self.open.set()
        return self.answer


def two_workers(bench, submission, service, doorman):
    """Let one worker enter predict, have the duplicate reach a second one, and wait for both."""
    errors = []

    def work():
        try:
            submission.prediction_worker(service, max_messages=1)
        except BaseException as error:
            errors.append(error)

    first, second = threading.Thread(target=work), threading.Thread(target=work)
    first.start()
    entered = doorman.inside.wait(2 * PATIENCE_S)
    bench.duplicate()
    second.start()
    second.join(PATIENCE_S)
    doorman.open.set()
    first.join()
    second.join()
    if errors:
        raise errors[0]
    if not entered:
        pytest.fail("the first worker did not call the model")


@requirement("R6")
@pytest.mark.limits(seconds=30, memory_mb=512)
@pytest.mark.parametrize("url", [URL, None], ids=["callback", "none"])
def test_a_duplicate_while_the_first_is_inside_predict(submission, props, url):
    doorman = Doorman("once")
    bench = Bench(predict=doorman)
    service = bench.service(submission, props)
    identifier = service.submit(DOCUMENT, url)
    two_workers(bench, submission, service, doorman)
    bench.drain(service)
    assert len(bench.calls) == 1, f"two workers had the same message, and the model was called {len(bench.calls)} times"
    check_state(service, identifier, "succeeded", prediction="once", attempts=1, error=None)
    expected = 1 if url else 0
    assert len(bench.posts) == expected, f"there should be {expected} callbacks, and there were {len(bench.posts)}"


# --- R12


@requirement("R12")
@pytest.mark.parametrize("late", [2.0, 1000.0])
def test_a_message_past_its_deadline_expires(submission, props, late):
    bench = Bench()
    service = bench.service(submission, props)
    identifier = service.submit(DOCUMENT, URL, deadline_s=30.0)
    bench.now += 30.0 + late
    bench.drain(service)
    assert bench.calls == [], f"the model was called {late} s after the deadline"
    check_state(service, identifier, "expired", prediction=None, attempts=0, error="expired")
    assert bench.dead == [], "an expired message should be acked, and was dead-lettered"
    found = bench.contents()
    assert len(found) == 1, f"an expiry should be called back once, and there were {len(found)} POSTs"
    check_content(found[0], identifier, "expired", None, "expired")
    assert (bench.stats["expired"], bench.stats["succeeded"]) == (1, 0), f"one expiry was counted as {bench.stats}"


@requirement("R12")
def test_a_message_before_its_deadline_is_predicted(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    identifier = service.submit(DOCUMENT, deadline_s=30.0)
    bench.now += 28.0
    bench.drain(service)
    check_state(service, identifier, "succeeded", error=None)
    assert bench.stats["expired"] == 0, f"nothing expired, and it was counted as {bench.stats}"


@requirement("R12")
def test_a_request_without_a_deadline_never_expires(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    identifier = service.submit(DOCUMENT)
    bench.now += 1e8
    bench.drain(service)
    check_state(service, identifier, "succeeded", error=None)


@requirement("R12")
def test_a_deadline_without_a_callback_posts_nothing(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    late, good = service.submit(DOCUMENT, deadline_s=5.0), service.submit(DOCUMENT, deadline_s=50.0)
    bench.now += 20.0
    bench.drain(service)
    check_state(service, late, "expired")
    check_state(service, good, "succeeded")
    assert bench.posts == [], "there was no callback_url, and something was posted"


@requirement("R12")
def test_a_deadline_counts_from_its_own_submit(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    early = service.submit(DOCUMENT, deadline_s=100.0)
    bench.now += 60.0
    later = service.submit(DOCUMENT, deadline_s=100.0)
    bench.now += 60.0
    bench.drain(service)
    check_state(service, early, "expired")
    check_state(service, later, "succeeded")


@requirement("R12")
def test_a_retry_past_the_deadline_is_not_made(submission, props):
    bench = Bench(predict=by_feature)
    service = bench.service(submission, props, backoff_base_s=20.0, jitter=0.0, max_attempts=5)
    identifier = service.submit({"x": -1}, URL, deadline_s=30.0)
    bench.drain(service)
    assert len(bench.calls) == 2, f"attempts were due at 0, 20 and 60 s of 30, and {len(bench.calls)} were made"
    check_state(service, identifier, "expired", prediction=None, attempts=2, error="expired")
    assert bench.dead == [], "an expired message should be acked, and was dead-lettered"
    found = bench.contents()
    assert len(found) == 1, f"an expiry should be called back once, and there were {len(found)} POSTs"
    check_content(found[0], identifier, "expired", None, "expired")


@requirement("R12")
def test_a_deadline_survives_a_restart(submission, props):
    bench = Bench()
    identifier = bench.service(submission, props).submit(DOCUMENT, URL, deadline_s=30.0)
    bench.now += 40.0
    service = bench.service(submission, props)
    bench.drain(service)
    check_state(service, identifier, "expired", prediction=None)
    assert bench.calls == [], "a new service predicted a request past its deadline"


@requirement("R12")
def test_a_callback_is_posted_after_the_deadline_of_its_prediction(submission, props):
    def predict(features):
        bench.now += 40.0
        return "just begun in time"

    bench = Bench(predict=predict, answers=[OSError("down"), OSError("down")])
    service = bench.service(submission, props)
    identifier = service.submit(DOCUMENT, URL, deadline_s=30.0)
    bench.drain(service)
    check_state(service, identifier, "succeeded", prediction="just begun in time", error=None)
    assert len(bench.posts) == 3, f"two POSTs failed, the third was to succeed; there were {len(bench.posts)}"
    check_content(bench.contents()[2], identifier, "succeeded", "just begun in time", None)


# --- R13


@requirement("R13")
def test_stop_is_asked_between_messages(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    ids = [service.submit({"x": i}) for i in range(5)]
    submission.prediction_worker(service, max_messages=50, stop=lambda: len(bench.calls) >= 2)
    assert len(bench.calls) == 2, f"stop() was true after 2 predictions, and the worker made {len(bench.calls)}"
    for identifier in ids[:2]:
        check_state(service, identifier, "succeeded")
    assert bench.held == {}, "the worker was stopped, and left a message that it had received but not acked"
    counts = [entry.count for entry in bench.entries]
    assert counts == [0] * 3, f"three messages should be left, and not even received; their deliveries are {counts}"
    bench.drain(service)
    for identifier in ids:
        check_state(service, identifier, "succeeded", attempts=1)


@requirement("R13")
def test_a_stop_from_the_start_receives_nothing(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    identifier = service.submit(DOCUMENT)
    submission.prediction_worker(service, max_messages=50, stop=lambda: True)
    assert bench.received == 0, f"stop() was true from the start, and {bench.received} messages were received"
    check_state(service, identifier, "queued", attempts=0)


@requirement("R13")
def test_a_stop_during_predict_lets_it_finish(submission, props):
    told = []

    def predict(features):
        told.append(True)
        return "finished"

    bench = Bench(predict=predict)
    service = bench.service(submission, props)
    first, second = service.submit(DOCUMENT), service.submit(DOCUMENT)
    submission.prediction_worker(service, max_messages=50, stop=lambda: bool(told))
    check_state(service, first, "succeeded", prediction="finished")
    check_state(service, second, "queued", attempts=0)
    assert bench.held == {}, "the worker was stopped, and left a message that it had received but not acked"
    counts = [entry.count for entry in bench.entries]
    assert counts == [0], f"one message should be left, and not even received; the deliveries of what is left: {counts}"


@requirement("R13")
@pytest.mark.parametrize("limit", [1, 3])
def test_max_messages_bounds_a_run(submission, props, limit):
    bench = Bench()
    service = bench.service(submission, props)
    for i in range(5):
        service.submit({"x": i})
    submission.prediction_worker(service, max_messages=limit)
    assert len(bench.calls) == limit, f"with max_messages={limit} the model was called {len(bench.calls)} times"
    assert bench.received == limit, f"with max_messages={limit}, {bench.received} messages were received"


@requirement("R13")
def test_duplicates_count_as_messages(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    service.submit({"x": 0})
    bench.duplicate()
    service.submit({"x": 1})
    submission.prediction_worker(service, max_messages=2)
    assert bench.received == 2, f"max_messages was 2, a duplicate among them, and {bench.received} were received"


@requirement("R13")
def test_an_empty_queue_ends_a_run(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    submission.prediction_worker(service, max_messages=50)
    service.submit(DOCUMENT)
    submission.prediction_worker(service, max_messages=50, stop=lambda: False)
    assert len(bench.calls) == 1, f"one message led to {len(bench.calls)} calls of the model"
    assert bench.now == START, "the clock of the suite moved"
