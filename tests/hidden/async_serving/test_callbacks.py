"""R5, R7, R9 and R10: retries, callbacks that fail, where they may go, and how they are signed."""

import json

import pytest
from serving_bench import START, URL, Bench, by_feature, check_content, check_state, content, header, raises, signature

from rounds.testing import requirement

DOCUMENT = {"pages": 3}
PUBLIC = "93.184.216.34"


# --- R5


@requirement("R5")
@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"backoff_base_s": 3.0, "backoff_cap_s": 10.0, "max_attempts": 5}, [3.0, 6.0, 10.0, 10.0]),
        ({}, [1.0, 2.0]),
        ({"max_attempts": 9}, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]),
    ],
    ids=["capped", "default", "long"],
)
def test_delays_double_up_to_the_cap(submission, props, config, expected):
    bench = Bench(predict=raises("no"))
    service = bench.service(submission, props, jitter=0.0, **config)
    service.submit(DOCUMENT, URL)
    bench.drain(service)
    assert bench.gaps() == pytest.approx(expected, abs=1e-3), (
        f"without jitter the attempts should be {expected} s apart, and were {bench.gaps()}"
    )


@requirement("R5")
@pytest.mark.parametrize("jitter", [0.5, 0.2])
def test_jitter_spreads_delays_within_its_bounds(submission, props, seed, jitter):
    bench = Bench(predict=raises("no"))
    config = {"jitter": jitter, "backoff_base_s": 100.0, "backoff_cap_s": 150.0, "max_attempts": 22}
    service = bench.service(submission, props, rng=props.rng(seed), **config)
    service.submit(DOCUMENT)
    bench.drain(service)
    factors = [gap / (100.0 if k == 0 else 150.0) for k, gap in enumerate(bench.gaps())]
    assert len(factors) == 21, f"22 attempts were to be made, and there were {len(bench.calls)}"
    inside = [1 - jitter - 1e-6 <= factor <= 1 + jitter + 1e-6 for factor in factors]
    assert all(inside), f"with a jitter of {jitter} the delays are off by the factors {factors}"
    assert len({round(factor, 6) for factor in factors}) > 10, f"the delays should vary; their factors were {factors}"
    assert min(factors) < 1 < max(factors), f"delays should fall on both sides; their factors were {factors}"


@requirement("R5")
def test_the_same_seed_gives_the_same_delays(submission, props, seed):
    seen = []
    for number in (seed, seed, seed + 1):
        bench = Bench(predict=raises("no"))
        service = bench.service(submission, props, rng=props.rng(number), max_attempts=4)
        service.submit(DOCUMENT)
        bench.drain(service)
        seen.append(bench.gaps())
    assert seen[0] == pytest.approx(seen[1]), f"two generators of one seed gave the delays {seen[0]} and {seen[1]}"
    assert seen[0] != pytest.approx(seen[2]), f"generators of two seeds gave the same delays {seen[0]}"


@requirement("R5")
def test_delays_need_no_generator_of_the_caller(submission, props):
    bench = Bench(predict=raises("no"))
    service = bench.service(submission, props)
    service.submit(DOCUMENT)
    bench.drain(service)
    first, second = bench.gaps()
    assert 0.5 - 1e-6 <= first <= 1.5 + 1e-6, f"the first delay should be 1 s, more or less by half: {first}"
    assert 1.0 - 1e-6 <= second <= 3.0 + 1e-6, f"the second delay should be 2 s, more or less by half: {second}"


@requirement("R5")
@pytest.mark.parametrize("limit", [1, 2, 4])
def test_a_request_is_given_up_after_max_attempts(submission, props, limit):
    bench = Bench(predict=raises("no"))
    service = bench.service(submission, props, max_attempts=limit)
    identifier = service.submit(DOCUMENT, URL)
    bench.drain(service)
    assert len(bench.calls) == limit, f"with max_attempts={limit} the model was called {len(bench.calls)} times"
    assert len(bench.dead) == 1, f"the message should be dead-lettered once, and was {len(bench.dead)} times"
    check_state(service, identifier, "failed", prediction=None, attempts=limit, error="prediction_failed")
    counted = (bench.stats["retried"], bench.stats["dead_lettered"], bench.stats["succeeded"])
    assert counted == (limit - 1, 1, 0), f"(retried, dead_lettered, succeeded) should be {(limit - 1, 1, 0)}: {counted}"


@requirement("R5")
def test_one_callback_tells_of_the_failure(submission, props):
    bench = Bench(predict=raises("no"))
    service = bench.service(submission, props)
    identifier = service.submit(DOCUMENT, URL)
    bench.drain(service)
    found = bench.contents()
    assert len(found) == 1, f"three failed attempts should give one callback, and gave {len(found)}"
    check_content(found[0], identifier, "failed", None, "prediction_failed")
    assert bench.posts[0]["at"] >= bench.called_at[-1], "the failure was called back before the last attempt"
    assert bench.stats["callbacks_ok"] == 1, f"one callback was delivered, and counted as {bench.stats}"


@requirement("R5")
def test_a_failure_without_a_callback_posts_nothing(submission, props):
    bench = Bench(predict=raises("no"))
    service = bench.service(submission, props)
    identifier = service.submit(DOCUMENT)
    bench.drain(service)
    check_state(service, identifier, "failed")
    assert bench.posts == [], "there was no callback_url, and the failure was posted"


@requirement("R5")
@pytest.mark.parametrize("limit", [1, 3])
def test_the_text_of_the_exception_stays_inside(submission, props, limit):
    text = "/srv/models/Quillfeather.bin is missing"
    bench = Bench(predict=raises(text))
    service = bench.service(submission, props, max_attempts=limit)
    identifier = service.submit(DOCUMENT, URL)
    bench.drain(service)
    for post in bench.posts:
        shown = json.dumps(content(post)) + repr(post["headers"])
        assert "Quillfeather" not in shown, f"the exception said {text!r}, and the callback {content(post)}"
    status = service.status(identifier)
    assert "Quillfeather" not in repr(status), f"the exception said {text!r}, and the status {status}"


@requirement("R5")
def test_an_attempt_that_succeeds_ends_the_retries(submission, props):
    def predict(features):
        if len(bench.calls) < 3:
            raise ValueError("not yet")
        return "third time lucky"

    bench = Bench(predict=predict)
    service = bench.service(submission, props)
    identifier = service.submit(DOCUMENT, URL)
    bench.drain(service)
    check_state(service, identifier, "succeeded", prediction="third time lucky", attempts=3, error=None)
    assert bench.dead == [], "a request that succeeded at the last attempt was dead-lettered"
    assert len(bench.posts) == 1, f"a success at the third attempt gave {len(bench.posts)} callbacks"
    check_content(bench.contents()[0], identifier, "succeeded", "third time lucky", None)
    counted = (bench.stats["retried"], bench.stats["succeeded"])
    assert counted == (2, 1), f"two retries and a success were counted as {counted}"


@requirement("R5")
@pytest.mark.parametrize("lost", [1, 5])
def test_deliveries_without_a_prediction_are_no_attempts(submission, props, lost):
    bench = Bench(predict=raises("no"))
    service = bench.service(submission, props, jitter=0.0, backoff_base_s=4.0)
    identifier = service.submit(DOCUMENT)
    bench.entries[0].count = lost  # workers that died before they did anything
    bench.drain(service)
    assert len(bench.calls) == 3, f"{lost} deliveries came to nothing, and {len(bench.calls)} of 3 attempts were made"
    assert bench.gaps() == pytest.approx([4.0, 8.0], abs=1e-3), f"attempts should be 4 and 8 s apart: {bench.gaps()}"
    check_state(service, identifier, "failed", attempts=3)


@requirement("R5")
def test_each_request_counts_its_own_attempts(submission, props):
    bench = Bench(predict=by_feature)
    service = bench.service(submission, props, jitter=0.0)
    ids = [service.submit({"x": x}) for x in (-1, -2)]
    bench.drain(service)
    seen = [features["x"] for features in bench.calls]
    assert (seen.count(-1), seen.count(-2)) == (3, 3), f"two failing requests should have 3 attempts each: {seen}"
    at = [[when for x, when in zip(seen, bench.called_at, strict=True) if x == one] for one in (-1, -2)]
    assert at == [pytest.approx([START, START + 1, START + 3], abs=1e-3)] * 2, f"attempts were made at {at}"
    for identifier in ids:
        check_state(service, identifier, "failed", attempts=3)


@requirement("R5")
def test_attempts_are_counted_across_a_restart(submission, props):
    bench = Bench(predict=raises("no"))
    old = bench.service(submission, props)
    identifier = old.submit(DOCUMENT)
    bench.work(old)
    service = bench.service(submission, props)
    bench.drain(service)
    assert len(bench.calls) == 3, f"with a restart after the first of 3 attempts, {len(bench.calls)} were made"
    check_state(service, identifier, "failed", attempts=3)


# --- R7


@requirement("R7")
@pytest.mark.parametrize(
    "answers",
    [
        [OSError("down"), TimeoutError("slow"), ValueError("odd")],
        [300, 301, 302, 304, 307],
        [400, 404, 429],
        [500, 503],
    ],
    ids=["exceptions", "3xx", "4xx", "5xx"],
)
def test_a_failed_callback_is_posted_again_and_changes_nothing(submission, props, answers):
    for answer in answers:
        bench = Bench(answers=[answer])
        service = bench.service(submission, props)
        identifier = service.submit(DOCUMENT, URL)
        bench.drain(service)
        assert len(bench.calls) == 1, f"http_post gave {answer!r}, and the model was called {len(bench.calls)} times"
        check_state(service, identifier, "succeeded", prediction={"score": 0.5}, attempts=1, error=None)
        assert len(bench.posts) == 2, f"after {answer!r} and 200 there were {len(bench.posts)} of 2 POSTs"
        counted = (bench.stats["callbacks_failed"], bench.stats["callbacks_ok"])
        assert counted == (1, 1), f"after {answer!r}, (callbacks_failed, callbacks_ok) should be (1, 1): {counted}"


@requirement("R7")
def test_any_2xx_is_delivered(submission, props):
    for answer in (200, 201, 202, 204, 299):
        bench = Bench(answers=[answer])
        service = bench.service(submission, props)
        service.submit(DOCUMENT, URL)
        bench.drain(service)
        assert len(bench.posts) == 1, f"a callback answered by {answer} was posted {len(bench.posts)} times"
        counted = (bench.stats["callbacks_failed"], bench.stats["callbacks_ok"])
        assert counted == (0, 1), f"after {answer}, (callbacks_failed, callbacks_ok) should be (0, 1): {counted}"


@requirement("R7")
@pytest.mark.parametrize(("config", "limit"), [({"callback_max_attempts": 1}, 1), ({}, 5)], ids=["one", "default"])
def test_a_callback_is_given_up_after_its_attempts(submission, props, config, limit):
    bench = Bench(answers=[500, OSError("down"), 302, 404, 503] * 4)
    service = bench.service(submission, props, **config)
    identifier = service.submit(DOCUMENT, URL)
    bench.drain(service)
    assert len(bench.posts) == limit, f"with callback_max_attempts={limit} there were {len(bench.posts)} POSTs"
    check_state(service, identifier, "succeeded", prediction={"score": 0.5}, attempts=1, error=None)
    counted = {name: bench.stats[name] for name in ("callbacks_failed", "callbacks_ok", "dead_lettered", "retried")}
    expected = {"callbacks_failed": limit, "callbacks_ok": 0, "dead_lettered": 0, "retried": 0}
    assert counted == expected, f"a callback given up should be counted as {expected}, and was as {counted}"


@requirement("R7")
def test_retries_of_a_callback_are_apart_and_say_the_same(submission, props):
    bench = Bench(answers=[500, 500, 500])
    service = bench.service(submission, props)
    service.submit(DOCUMENT, URL)
    bench.drain(service)
    at = [post["at"] - START for post in bench.posts]
    assert len(at) == len(set(at)) == 4, f"three 500s and a 200 should give POSTs at four times, and gave {at}"
    found = bench.contents()
    assert all(one == found[0] for one in found), f"the retries should say the same, and said {found}"
    assert {post["url"] for post in bench.posts} == {URL}, f"all should go to {URL}: {[p['url'] for p in bench.posts]}"


@requirement("R7")
@pytest.mark.parametrize("before", [[], [OSError("down"), 404]], ids=["at once", "later"])
def test_gone_stops_the_posts(submission, props, before):
    bench = Bench(answers=[*before, 410])
    service = bench.service(submission, props)
    identifier = service.submit(DOCUMENT, URL)
    bench.drain(service)
    expected = len(before) + 1
    assert len(bench.posts) == expected, f"after {[*before, 410]} there should be {expected} POSTs: {len(bench.posts)}"
    check_state(service, identifier, "succeeded", prediction={"score": 0.5}, error=None)
    counted = (bench.stats["callbacks_failed"], bench.stats["callbacks_ok"])
    assert counted == (expected, 0), f"(callbacks_failed, callbacks_ok) should be {(expected, 0)}, and were {counted}"


@requirement("R7")
def test_a_duplicate_does_not_bring_back_a_callback_that_was_stopped(submission, props):
    bench = Bench(answers=[410])
    service = bench.service(submission, props)
    service.submit(DOCUMENT, URL)
    bench.drain(service)
    bench.duplicate()
    bench.drain(service)
    assert len(bench.posts) == 1, f"after 410 the message came again, and there were {len(bench.posts)} POSTs"


@requirement("R7")
def test_the_callback_of_a_failure_is_retried_too(submission, props):
    bench = Bench(predict=raises("no"), answers=[503, OSError("down")])
    service = bench.service(submission, props, max_attempts=1)
    service.submit(DOCUMENT, URL)
    bench.drain(service)
    assert len(bench.posts) == 3, f"the callback of a failure should come at the 3rd POST of {len(bench.posts)}"
    assert len(bench.calls) == 1, f"a failing callback made it {len(bench.calls)} calls of the model"
    found = bench.contents()
    assert found[2] == found[0], f"the retry should say what the first POST said, {found[0]}, and said {found[2]}"


@requirement("R7")
def test_a_waiting_retry_survives_a_restart(submission, props):
    bench = Bench(answers=[OSError("down")])
    old = bench.service(submission, props)
    identifier = old.submit(DOCUMENT, URL)
    while not bench.posts and bench.entries:
        bench.now = max(bench.now, min(entry.due for entry in bench.entries))
        bench.work(old)
    service = bench.service(submission, props)
    bench.drain(service)
    assert len(bench.posts) == 2, f"a retry waited at the restart, and there were {len(bench.posts)} of 2 POSTs"
    check_content(bench.contents()[1], identifier, "succeeded", {"score": 0.5}, None)
    assert len(bench.calls) == 1, f"the restart made it {len(bench.calls)} calls of the model"


@requirement("R7")
def test_one_receiver_that_is_down_does_not_hinder_another(submission, props):
    bench = Bench(predict=by_feature)
    down = "http://other.example.org/in"
    service = bench.service(submission, props, callback_max_attempts=3)
    post = bench.http_post

    def http_post(url, body, headers, timeout_s):
        post(url, body, headers, timeout_s)
        if url == down:
            raise ConnectionError("refused")
        return 200

    bench.http_post = http_post
    ids = [service.submit({"x": x}, url) for x, url in ((1, down), (2, URL), (3, down), (4, URL))]
    bench.drain(service)
    for x, identifier in enumerate(ids, 1):
        check_state(service, identifier, "succeeded", prediction=10 * x, attempts=1)
    urls = [post["url"] for post in bench.posts]
    seen = (urls.count(down), urls.count(URL))
    assert seen == (6, 2), f"3 POSTs each to one that is down, 1 each to one that is up, is (6, 2): {seen}"


# --- R9

ADDRESSES = {
    "loopback": ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0"],
    "private": ["10.1.2.3", "172.16.0.9", "192.168.1.7", "fd00::1"],
    "shared": ["100.64.0.1"],
    "link-local": ["169.254.169.254", "fe80::1"],
    "multicast": ["224.0.0.1"],
}
URLS = {
    "scheme": [
        "ftp://hooks.example.com/", "file://hooks.example.com/x", "hooks.example.com/done", "//hooks.example.com/done"
    ],
    "no host": ["http:///done", "https://", "http://:8080/done"],
    "user info": [
        "https://user:pw@hooks.example.com/", "https://user@hooks.example.com/", "http://hooks.example.com@127.0.0.1/"
    ],
    "here": ["http://localhost:8000/x", "http://127.1/", "http://2130706433/", "http://0x7f.1/"],
    "intern": ["https://intern.example.com/", "https://half.example.com/", "https://half-v6.example.com/"],
    "nowhere": ["https://empty.example.com/", "https://nowhere.example.com/"],
}  # fmt: skip
PUBLIC_URLS = [
    "http://hooks.example.com", "https://other.example.org:8443/a/b?c=d&e=%2F", "https://v6.example.org/",
    f"http://{PUBLIC}/done", "http://[2606:2800:220:1:248:1893:25c8:1946]:8080/done", "https://8.8.8.8/localhost",
    "https://hooks.example.com/127.0.0.1?next=http://user@10.0.0.1/",
]  # fmt: skip


def check_refused(bench, submission, props, url):
    service = bench.service(submission, props)
    before = props.content(bench.store)
    with pytest.raises(submission.CallbackRejected):
        service.submit(DOCUMENT, url, idempotency_key="k")
    assert bench.sent == [], f"{url} was refused, and a message was sent all the same"
    after = props.content(bench.store)
    assert after == before, f"{url} was refused, and the store holds {after}"
    return service


def rebind(bench, answer):
    """Point the host elsewhere; None: to nowhere."""
    bench.hosts.pop("hooks.example.com", None)
    if answer is not None:
        bench.hosts["hooks.example.com"] = answer


@requirement("R9")
@pytest.mark.parametrize("kind", ADDRESSES)
def test_an_address_that_is_not_public_is_refused_by_name_and_by_number(submission, props, kind):
    for address in ADDRESSES[kind]:
        bench = Bench(hosts={"hooks.example.com": [address], "half.example.com": [PUBLIC, address]})
        check_refused(bench, submission, props, URL)
        check_refused(bench, submission, props, "https://half.example.com/")
        host = f"[{address}]" if ":" in address else address
        check_refused(bench, submission, props, f"http://{host}/latest/meta-data/")


@requirement("R9")
@pytest.mark.parametrize("kind", URLS)
def test_a_url_that_leads_elsewhere_is_refused(submission, props, kind):
    for url in URLS[kind]:
        check_refused(Bench(), submission, props, url)


@requirement("R9")
def test_the_key_of_a_refused_url_stays_free(submission, props):
    bench = Bench()
    service = check_refused(bench, submission, props, "http://localhost/")
    identifier = service.submit({"pages": 9}, URL, idempotency_key="k")
    bench.drain(service)
    check_state(service, identifier, "succeeded")


@requirement("R9")
def test_a_public_host_is_posted_to_as_it_was_given(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    for url in PUBLIC_URLS:
        service.submit(DOCUMENT, url)
    bench.drain(service)
    seen = sorted(post["url"] for post in bench.posts)
    assert seen == sorted(PUBLIC_URLS), f"callbacks should go to {sorted(PUBLIC_URLS)}, and went to {seen}"


@requirement("R9")
@pytest.mark.parametrize(
    "answer",
    [["10.1.2.3"], [PUBLIC, "169.254.169.254"], ["224.0.0.1"], [], None],
    ids=["private", "half", "multicast", "empty", "nowhere"],
)
def test_a_host_that_turned_bad_is_not_posted_to(submission, props, answer):
    bench = Bench()
    service = bench.service(submission, props, callback_max_attempts=3)
    identifier = service.submit(DOCUMENT, URL)
    rebind(bench, answer)
    bench.drain(service)
    assert bench.posts == [], f"after submit the host resolved to {answer}, and was posted to"
    check_state(service, identifier, "succeeded", prediction={"score": 0.5}, attempts=1, error=None)
    counted = (bench.stats["callbacks_failed"], bench.stats["callbacks_ok"])
    assert counted == (3, 0), f"(callbacks_failed, callbacks_ok) should be (3, 0), and were {counted}"
    assert len(bench.calls) == 1, f"a host that turned bad made it {len(bench.calls)} calls of the model"


@requirement("R9")
def test_a_host_that_turns_good_again_is_posted_to(submission, props):
    bench = Bench()
    service = bench.service(submission, props)
    identifier = service.submit(DOCUMENT, URL)
    bad = [["127.0.0.1"], ["127.0.0.1"]]
    bench.resolve = lambda host: bad.pop() if bad else [PUBLIC]
    bench.drain(service)
    assert len(bench.posts) == 1, f"the host was bad at first, then good again; POSTs: {len(bench.posts)}"
    check_content(bench.contents()[0], identifier, "succeeded", {"score": 0.5}, None)
    failed, delivered = bench.stats["callbacks_failed"], bench.stats["callbacks_ok"]
    assert (failed > 0, delivered) == (True, 1), f"{failed} callbacks were counted as failed, {delivered} as delivered"


@requirement("R9")
def test_the_host_is_checked_again_before_a_retry(submission, props):
    bench = Bench(answers=[OSError("down")])
    service = bench.service(submission, props, callback_max_attempts=4)
    post = bench.http_post

    def http_post(*arguments, **keywords):
        rebind(bench, ["127.0.0.1"])
        return post(*arguments, **keywords)

    bench.http_post = http_post
    service.submit(DOCUMENT, URL)
    bench.drain(service)
    assert len(bench.posts) == 1, f"the host turned bad after the first POST, and there were {len(bench.posts)}"
    assert bench.stats["callbacks_failed"] == 4, f"one POST and three checks failed, and were counted as {bench.stats}"


@requirement("R9")
def test_the_host_is_checked_for_the_callback_of_a_failure(submission, props):
    bench = Bench(predict=raises("no"))
    service = bench.service(submission, props, max_attempts=1)
    service.submit(DOCUMENT, URL)
    rebind(bench, ["10.1.2.3"])
    bench.drain(service)
    assert bench.posts == [], "after submit the host turned bad, and was told that the request failed"


# --- R10


def check_signed(post, identifier, secret=b"test-secret"):
    found = header(post, "webhook-id")
    assert found == identifier, f"webhook-id should be the request id {identifier}, and was {found}"
    seconds = header(post, "webhook-timestamp")
    assert seconds == str(int(post["at"])), f"at {post['at']} the webhook-timestamp was {seconds}"
    right = signature(secret, identifier, seconds, post["body"])
    found = header(post, "webhook-signature")
    assert found == right, f"webhook-signature {found} does not fit secret, id, timestamp and the bytes sent"


@requirement("R10")
@pytest.mark.parametrize("value", [{"score": 0.5, "name": "Äpfel ✓"}, "a.b"], ids=["dict", "text"])
def test_a_post_is_signed_over_its_bytes(submission, props, value):
    bench = Bench(predict=lambda features: value)
    service = bench.service(submission, props)
    identifier = service.submit(DOCUMENT, URL)
    bench.drain(service)
    assert len(bench.posts) == 1, f"one callback was due, and there were {len(bench.posts)} POSTs"
    check_signed(bench.posts[0], identifier)


@requirement("R10")
def test_the_secret_is_that_of_the_config(submission, props):
    secret = b"\x00\xff" * 20
    bench = Bench()
    service = bench.service(submission, props, signing_secret=secret)
    identifier = service.submit(DOCUMENT, URL)
    bench.drain(service)
    check_signed(bench.posts[0], identifier, secret)


@requirement("R10")
@pytest.mark.parametrize("fraction", [0.0, 0.999])
def test_the_timestamp_is_rounded_down(submission, props, fraction):
    bench = Bench()
    bench.now = 1_700_000_000 + fraction
    service = bench.service(submission, props)
    identifier = service.submit(DOCUMENT, URL)
    bench.drain(service)
    check_signed(bench.posts[0], identifier)


@requirement("R10")
def test_a_retry_has_the_same_id_and_is_signed_anew(submission, props):
    bench = Bench(answers=[OSError("down"), TimeoutError("slow"), OSError("down")])
    service = bench.service(submission, props, backoff_base_s=30.0)
    identifier = service.submit(DOCUMENT, URL)
    bench.drain(service)
    assert len(bench.posts) == 4, f"three POSTs raised, the fourth was to come, and there were {len(bench.posts)}"
    for post in bench.posts:
        check_signed(post, identifier)


@requirement("R10")
def test_the_timestamp_is_that_of_the_post(submission, props):
    def predict(features):
        bench.now += 100.0
        return 1

    bench = Bench(predict=predict)
    service = bench.service(submission, props)
    ids = [service.submit(DOCUMENT, URL) for _ in range(2)]
    bench.drain(service)
    by_id = {header(post, "webhook-id"): post for post in bench.posts}
    assert sorted(by_id) == sorted(ids), f"the webhook-ids should be {ids}, and were {list(by_id)}"
    for identifier in ids:
        check_signed(by_id[identifier], identifier)


@requirement("R10")
def test_the_callback_of_a_failure_is_signed_too(submission, props):
    bench = Bench(predict=raises("no"))
    service = bench.service(submission, props, max_attempts=1)
    identifier = service.submit(DOCUMENT, URL)
    bench.drain(service)
    assert bench.posts, "a failure was to be called back, and there was no POST"
    for post in bench.posts:
        check_signed(post, identifier)
