"""R8 to R10: when an alert fires, how often, and when it resolves."""

import json
import random

import pytest
from scipy import stats

from rounds.testing import requirement

FIELDS = ("type", "severity", "state", "message", "value", "threshold", "n", "timestamp")


class Watch:
    """A monitor with a clock that the test moves, and the alerts of each call in short."""

    def __init__(self, submission, props, now=1_000_000.0, max_records=100_000, **rules):
        self.props = props
        self.clock, self.time = props.Clock(now), now
        self.monitor = submission.ModelMonitor(
            rules=submission.AlertRules(**rules), clock=self.clock, max_records=max_records
        )

    @property
    def now(self):
        return self.time

    @now.setter
    def now(self, now):
        self.time = now
        self.clock.move(now)

    def log(self, right=0, wrong=0, unlabelled=0, timestamp=None):
        rows = [(1, 1, None, timestamp)] * right + [(1, 0, None, timestamp)] * wrong
        self.props.log_all(self.monitor, rows + [(1, None, None, timestamp)] * unlabelled)
        return self

    def after(self, seconds):
        self.now += seconds
        return self.alerts()

    def alerts(self):
        return short(self.monitor.generate_alerts())


def short(alerts):
    return [(alert["type"], alert["state"]) for alert in alerts]


FIRING, RESOLVED = [("performance", "firing")], [("performance", "resolved")]
SILENT, BACK = [("no_data", "firing")], [("no_data", "resolved")]
UNCOVERED, COVERED = [("label_coverage", "firing")], [("label_coverage", "resolved")]


def expect(alerts, expected, situation):
    assert alerts == expected, f"{situation}: expected {expected or 'no alert'}, and got {alerts or 'no alert'}"


@requirement("R8")
def test_240_of_300_under_a_baseline_of_090_alerts(submission, props):
    watch = Watch(submission, props, baseline_accuracy=0.9, window_size=300).log(right=240, wrong=60)
    expect(watch.alerts(), FIRING, "240 of 300 right under a baseline of 0.90")


@requirement("R8")
@pytest.mark.limits(seconds=30, memory_mb=1024)
def test_healthy_windows_of_30_hardly_ever_alert(submission, props, seed):
    rng = random.Random(1000 + seed)
    rules = submission.AlertRules(baseline_accuracy=0.9)
    fired = 0
    for _ in range(200):
        right = sum(rng.random() < 0.9 for _ in range(30))
        fired += bool(props.alerts_of(submission, rules, right, 30 - right))
    assert fired <= 10, f"200 healthy windows of 30 predictions at the baseline of 0.90 gave {fired} alerts"


JUDGED = {  # (right, total, rules, fires)
    "fewer than min_samples never alert": [
        (22, 30, {}, True),
        (21, 29, {}, False),
        (15, 29, {}, False),
        (30, 50, {"min_samples": 50}, True),
        (29, 49, {"min_samples": 50}, False),
        (4, 10, {"min_samples": 10}, True),
        (0, 9, {"min_samples": 10}, False),
    ],
    "the tail is exact": [  # at 23 of 30 it is 0.026, where a normal approximation says 0.0075
        (24, 30, {}, False),
        (23, 30, {}, False),
        (23, 30, {"alpha": 0.03}, True),
        (22, 30, {"alpha": 0.005}, False),
        (24, 30, {"alpha": 0.1}, True),
        (24, 30, {"alpha": 0.05}, False),
        (80, 100, {"alpha": 0.001}, False),
        (80, 100, {"alpha": 0.003}, True),
    ],
    "the tail is the lower one": [  # at 49 of 100 under 0.60 it is 0.017, and both tails are 0.032
        (49, 100, {"baseline_accuracy": 0.6, "alpha": 0.02}, True),
        (49, 100, {"baseline_accuracy": 0.6, "alpha": 0.015}, False),
        (75, 100, {"baseline_accuracy": 0.6}, False),
        (100, 100, {"baseline_accuracy": 0.6}, False),
        (30, 30, {}, False),
    ],
    "a small drop does not matter, however significant": [
        (2640, 3000, {"window_size": 3000}, False),
        (2560, 3000, {"window_size": 3000}, False),
        (2540, 3000, {"window_size": 3000}, True),
        (2640, 3000, {"window_size": 3000, "max_drop": 0.01}, True),
        (240, 300, {"window_size": 300, "max_drop": 0.11}, False),
        (240, 300, {"window_size": 300, "max_drop": 0.09}, True),
        (70, 100, {"max_drop": 0.25}, False),
    ],
    "the drop is absolute": [
        (1840, 4000, {"window_size": 4000, "baseline_accuracy": 0.5}, False),
        (1780, 4000, {"window_size": 4000, "baseline_accuracy": 0.5}, True),
    ],
    "every baseline is a baseline": [
        (0, 100, {}, True),
        (0, 100, {"baseline_accuracy": None}, False),
        (60, 100, {"baseline_accuracy": 1.0}, True),
        (99, 100, {"baseline_accuracy": 1.0}, False),
        (90, 100, {"baseline_accuracy": 1.0}, True),
    ],
}


@requirement("R8")
@pytest.mark.parametrize("promise", JUDGED)
def test_an_alert_needs_samples_a_drop_and_significance(submission, props, promise):
    for right, total, rules, fires in JUDGED[promise]:
        rules = {"baseline_accuracy": 0.9} | rules
        alerts = props.alerts_of(submission, submission.AlertRules(**rules), right, total - right)
        expect(short(alerts), FIRING if fires else [], f"{right} of {total} right under {rules}")


@requirement("R8")
def test_every_count_of_30_agrees_with_the_exact_tail(submission, props):
    for right in range(14, 31):
        alerts = props.alerts_of(submission, submission.AlertRules(baseline_accuracy=0.8), right, 30 - right)
        fires = 0.8 - right / 30 > 0.05 and stats.binom.cdf(right, 30, 0.8) < 0.01
        expect(short(alerts), FIRING if fires else [], f"{right} of 30 right under a baseline of 0.80")


@requirement("R8")
def test_with_the_default_rules_a_monitor_never_alerts(submission, props):
    watch = Watch(submission, props)
    expect(watch.alerts(), [], "a fresh monitor with the default rules")
    watch.log(wrong=200, unlabelled=200)
    expect(
        watch.after(10_000_000), [], "200 wrong predictions, 200 unlabelled ones and silence under the default rules"
    )


@requirement("R8")
def test_the_rules_are_optional(submission):
    monitor = submission.ModelMonitor(clock=lambda: 5.0)
    monitor.log_prediction({"x": 1}, 1, 0)
    assert monitor.generate_alerts() == [], f"without rules: {monitor.generate_alerts()}"


@requirement("R8")
def test_without_labels_there_is_no_performance_alert(submission, props):
    watch = Watch(submission, props, baseline_accuracy=0.9)
    expect(watch.alerts(), [], "a monitor without predictions")
    expect(watch.log(unlabelled=500).alerts(), [], "a monitor without labels")


@requirement("R8")
def test_the_rules_window_is_what_is_judged(submission, props):
    watch = Watch(submission, props, baseline_accuracy=0.9, window_size=40).log(wrong=200).log(right=40)
    expect(watch.alerts(), [], "the newest 40 are right, and window_size is 40")
    watch = Watch(submission, props, baseline_accuracy=0.9, window_size=200).log(wrong=60).log(right=140)
    expect(watch.alerts(), FIRING, "140 of the newest 200 are right, and window_size is 200")
    watch = Watch(submission, props, baseline_accuracy=0.9).log(wrong=100).log(right=100)
    expect(watch.alerts(), [], "the newest 100 are right, and window_size is 100 by default")


@requirement("R8")
def test_unlabelled_predictions_take_no_place_in_the_judged_window(submission, props):
    watch = Watch(submission, props, baseline_accuracy=0.9).log(right=20, wrong=20).log(unlabelled=150)
    expect(watch.alerts(), FIRING, "20 of 40 labelled ones are right, 150 unlabelled ones came later")
    watch = Watch(submission, props, baseline_accuracy=0.9).log(wrong=29, unlabelled=500)
    expect(watch.alerts(), [], "29 labelled predictions among 529")


@requirement("R8")
def test_the_judged_window_goes_by_prediction_time(submission, props):
    watch = Watch(submission, props, baseline_accuracy=0.9, window_size=50)
    watch.log(right=50, timestamp=900_000.0).log(wrong=50, timestamp=800_000.0)
    expect(watch.alerts(), [], "50 wrong predictions were backfilled behind 50 right ones, and window_size is 50")


@requirement("R8")
def test_a_performance_alert_says_what_was_seen(submission, props):
    watch = Watch(submission, props, now=5000.0, baseline_accuracy=0.9, max_drop=0.08, window_size=60)
    watch.log(right=10, wrong=20).log(right=42, wrong=18)
    watch.now = 5600.0
    alerts = watch.monitor.generate_alerts()
    assert len(alerts) == 1, f"42 of the newest 60 are right under 0.90, and {len(alerts)} alerts came"
    check_alert(alerts[0], "performance", "firing", value=0.7, threshold=0.82, n=60, timestamp=5600.0)


def check_alert(alert, kind, state, **numbers):
    missing = [field for field in FIELDS if field not in alert]
    assert not missing, f"the {kind} alert lacks {missing}"
    found = (alert["type"], alert["state"])
    assert found == (kind, state), f"type and state should be {(kind, state)}, and were {found}"
    for field in ("severity", "message"):
        assert isinstance(alert[field], str), f"{field} should be a str, and was {alert[field]!r}"
    for field, value in numbers.items():
        close = isinstance(alert[field], (int, float)) and abs(alert[field] - value) < 1e-9
        assert close, f"{field} of the {kind} alert should be {value}, and was {alert[field]!r}"
    check_json(alert)


def check_json(alert):
    try:
        json.dumps(alert, allow_nan=False)
    except (TypeError, ValueError) as error:
        pytest.fail(f"an alert is not JSON-able: {error}")


def broken(submission, props, **rules):
    return Watch(submission, props, **({"baseline_accuracy": 0.9} | rules)).log(wrong=100)


@requirement("R9")
def test_an_episode_pages_once(submission, props):
    watch = broken(submission, props)
    expect(watch.alerts(), FIRING, "the first look at a broken model")
    for _ in range(5):
        expect(watch.after(60), [], "a later look within the cooldown")
    expect(watch.log(wrong=10).after(60), [], "more wrong predictions within the cooldown")


@requirement("R9")
def test_nothing_is_remembered_before_the_first_look(submission, props):
    watch = broken(submission, props)
    watch.log(right=100)
    expect(watch.alerts(), [], "the model was broken and recovered before the first look")


@requirement("R9")
@pytest.mark.parametrize("cooldown", [3600.0, 100.0])
def test_a_lasting_condition_reminds_once_per_cooldown(submission, props, cooldown):
    rules = {} if cooldown == 3600.0 else {"cooldown_s": cooldown}
    watch = broken(submission, props, **rules)
    expect(watch.alerts(), FIRING, "the first look")
    for round_number in (1, 2, 3):
        expect(watch.after(cooldown - 1), [], f"a second before cooldown {round_number} has passed")
        expect(watch.after(2), FIRING, f"a second after cooldown {round_number} has passed")
        expect(watch.after(0), [], "a second look at the same time")


@requirement("R9")
def test_a_quiet_look_does_not_restart_the_cooldown(submission, props):
    watch = broken(submission, props, cooldown_s=100.0)
    watch.alerts()
    for _ in range(9):
        expect(watch.after(11), [], "a look within the cooldown of 100 s")
    expect(watch.after(2), FIRING, "101 s after the firing alert, looked at every 11 s")


@requirement("R9")
def test_a_long_gap_gives_one_reminder(submission, props):
    watch = broken(submission, props, cooldown_s=100.0)
    expect(watch.alerts(), FIRING, "the first look")
    expect(watch.after(1050), FIRING, "the next look after ten cooldowns")
    expect(watch.after(60), [], "60 s after the reminder, whose cooldown is 100 s")
    expect(watch.after(41), FIRING, "101 s after the reminder")


@requirement("R9")
@pytest.mark.parametrize("wait", [0.0, 60.0, 4000.0])
def test_recovery_resolves_once(submission, props, wait):
    watch = broken(submission, props)
    watch.alerts()
    watch.log(right=100)
    expect(watch.after(wait), RESOLVED, f"the model recovered, {wait:g} s after the firing alert")
    for pause in (0, 60, 5000, 5000):
        expect(watch.after(pause), [], "a look after the resolved alert")


@requirement("R9")
def test_a_resolved_alert_is_complete(submission, props):
    watch = broken(submission, props)
    watch.alerts()
    watch.log(right=100)
    watch.now += 60
    (alert,) = watch.monitor.generate_alerts()
    check_alert(alert, "performance", "resolved", value=1.0, threshold=0.85, n=100, timestamp=watch.now)


@requirement("R9")
def test_recovery_after_a_reminder_resolves(submission, props):
    watch = broken(submission, props)
    watch.alerts()
    expect(watch.after(3700), FIRING, "the reminder")
    expect(watch.log(right=100).after(10), RESOLVED, "the model recovered after a reminder")
    expect(watch.after(10_000), [], "long after it")


@requirement("R9")
def test_a_new_episode_pages_again(submission, props):
    watch = broken(submission, props)
    for _ in range(3):
        expect(watch.alerts(), FIRING, "the start of an episode")
        expect(watch.after(50), [], "a second look")
        watch.log(right=100)
        expect(watch.after(50), RESOLVED, "the end of an episode")
        expect(watch.after(5000), [], "a look at a healthy model")
        watch.log(wrong=100)


@requirement("R9")
def test_a_condition_that_merely_weakens_is_not_over(submission, props):
    watch = broken(submission, props)
    watch.alerts()
    watch.log(right=70)
    expect(watch.after(60), [], "70 of 100 right is still too little")
    watch.log(right=10)
    expect(watch.after(60), [], "80 of 100 right is still too little")
    watch.log(right=20)
    expect(watch.after(60), RESOLVED, "100 of 100 right")


@requirement("R9")
def test_a_drop_that_is_no_longer_significant_resolves(submission, props):
    watch = broken(submission, props)
    watch.alerts()
    watch.log(wrong=16, right=84)
    expect(watch.after(60), RESOLVED, "84 of 100 right: a drop of 0.06 that is not significant")


@requirement("R9")
def test_too_few_samples_keep_an_episode_open(submission, props):
    watch = Watch(submission, props, baseline_accuracy=0.9, max_records=50).log(wrong=50)
    expect(watch.alerts(), FIRING, "50 wrong predictions")
    watch.log(unlabelled=40)
    expect(watch.after(60), [], "only 10 labelled predictions are still held")
    expect(watch.after(10_000), [], "only 10 labelled predictions are still held, and the cooldown is over")
    watch.log(unlabelled=50)
    expect(watch.after(60), [], "no labelled prediction is held any more")
    watch.log(right=50)
    expect(watch.after(60), RESOLVED, "50 right predictions")


@requirement("R9")
def test_too_few_samples_do_not_begin_a_new_episode(submission, props):
    watch = Watch(submission, props, baseline_accuracy=0.9, max_records=50).log(wrong=50)
    watch.alerts()
    watch.log(unlabelled=40)
    expect(watch.after(60), [], "only 10 labelled predictions are still held")
    watch.log(wrong=50)
    expect(watch.after(60), [], "wrong again within the cooldown: still the same episode")


@requirement("R9")
def test_late_labels_open_and_close_an_episode(submission, props):
    watch = Watch(submission, props, baseline_accuracy=0.9)
    props.log_all(watch.monitor, [(1, None, f"p{i}", None) for i in range(60)])
    expect(watch.alerts(), [], "no label came yet")
    props.label_all(watch.monitor, [(f"p{i}", 0) for i in range(60)])
    expect(watch.after(60), FIRING, "60 labels came, all against the predictions")
    props.label_all(watch.monitor, [(f"p{i}", 1) for i in range(60)])
    expect(watch.after(60), RESOLVED, "all 60 labels were corrected")


@requirement("R9")
def test_each_type_has_its_own_episodes(submission, props):
    watch = Watch(submission, props, baseline_accuracy=0.9, max_silence_s=1000.0)
    expect(watch.log(wrong=100).alerts(), FIRING, "a broken model")
    expect(watch.after(1500), SILENT, "1500 s of silence, within the cooldown of the performance alert")
    watch.log(right=100)
    found = sorted(watch.alerts())
    assert found == sorted(RESOLVED + BACK), f"the model recovered and traffic is back, and the alerts were {found}"


@requirement("R10")
def test_silence_fires_and_traffic_resolves(submission, props):
    watch = Watch(submission, props, max_silence_s=600.0).log(right=1)
    expect(watch.after(0), [], "right after a prediction")
    expect(watch.after(599), [], "599 s after the last prediction, with max_silence_s=600")
    expect(watch.after(2), SILENT, "601 s after the last prediction, with max_silence_s=600")
    expect(watch.after(60), [], "later in the same silence")
    expect(watch.log(unlabelled=1).after(1), BACK, "a prediction came")
    expect(watch.after(1), [], "right after that")


@requirement("R10")
def test_silence_of_exactly_the_limit_is_allowed(submission, props):
    watch = Watch(submission, props, now=1000.0, max_silence_s=600.0)
    expect(watch.after(600), [], "exactly 600 s after the start, with max_silence_s=600")
    watch.log(right=1)
    expect(watch.after(600), [], "exactly 600 s after the last prediction, with max_silence_s=600")


@requirement("R10")
def test_a_monitor_that_never_saw_a_prediction_alerts(submission, props):
    watch = Watch(submission, props, max_silence_s=600.0)
    expect(watch.alerts(), [], "right after the start")
    expect(watch.after(599), [], "599 s after the start")
    expect(watch.after(2), SILENT, "601 s after the start, and never a prediction")
    expect(watch.log(right=1).after(1), BACK, "the first prediction came")


@requirement("R10")
def test_the_last_prediction_counts_and_not_the_first(submission, props):
    watch = Watch(submission, props, max_silence_s=600.0)
    for _ in range(4):
        watch.log(right=1)
        expect(watch.after(500), [], "a prediction every 500 s, with max_silence_s=600")
    expect(watch.after(101), SILENT, "601 s after the last prediction")


@requirement("R10")
def test_a_backfill_is_a_sign_of_life(submission, props):
    watch = Watch(submission, props, max_silence_s=600.0)
    watch.now += 500
    watch.log(right=1, timestamp=100.0)
    expect(watch.after(400), [], "400 s after a backfilled prediction with a very old timestamp")
    expect(watch.after(201), SILENT, "601 s after a backfilled prediction")


@requirement("R10")
def test_a_timestamp_ahead_hides_no_silence(submission, props):
    watch = Watch(submission, props, max_silence_s=600.0)
    watch.log(right=1, timestamp=watch.now + 50_000)
    expect(watch.after(601), SILENT, "601 s after a prediction that was stamped far ahead")


@requirement("R10")
def test_a_label_is_no_sign_of_life(submission, props):
    watch = Watch(submission, props, max_silence_s=600.0)
    props.log_all(watch.monitor, [(1, None, "a", None)])
    watch.now += 500
    props.label_all(watch.monitor, [("a", 1), ("unknown", 1)])
    expect(watch.after(101), SILENT, "601 s after the last prediction, with labels in between")


@requirement("R10")
def test_a_silence_between_two_looks_leaves_no_trace(submission, props):
    watch = Watch(submission, props, max_silence_s=600.0).log(right=1)
    watch.now += 5000
    expect(watch.log(right=1).after(10), [], "a silence of 5000 s ended before anyone looked")


@requirement("R10")
def test_a_no_data_alert_says_how_long(submission, props):
    watch = Watch(submission, props, now=1000.0, max_silence_s=600.0)
    watch.now = 1100.0
    watch.log(right=1)
    watch.now = 2000.0
    (alert,) = watch.monitor.generate_alerts()
    check_alert(alert, "no_data", "firing", value=900.0, threshold=600.0, timestamp=2000.0)


@requirement("R10")
def test_lasting_silence_reminds_once_per_cooldown(submission, props):
    watch = Watch(submission, props, max_silence_s=600.0, cooldown_s=1000.0)
    expect(watch.after(700), SILENT, "700 s of silence")
    expect(watch.after(990), [], "990 s after the alert, with a cooldown of 1000")
    expect(watch.after(20), SILENT, "1010 s after the alert, with a cooldown of 1000")
    expect(watch.after(500), [], "500 s after the reminder")


@requirement("R10")
def test_a_silence_limit_of_zero_is_a_limit(submission, props):
    watch = Watch(submission, props, max_silence_s=0.0)
    expect(watch.alerts(), [], "no time has passed, with max_silence_s=0")
    expect(watch.after(1), SILENT, "1 s has passed, with max_silence_s=0")


@requirement("R10")
def test_a_silence_limit_alone_brings_no_other_alert(submission, props):
    watch = Watch(submission, props, max_silence_s=600.0).log(wrong=100, unlabelled=400)
    expect(watch.after(10), [], "wrong and unlabelled predictions under max_silence_s alone")


COVERAGE = [  # (labelled, unlabelled, rules, fires)
    (49, 51, {}, True),
    (50, 50, {}, False),
    (51, 49, {}, False),
    (0, 100, {}, True),
    (100, 0, {}, False),
    (0, 30, {}, True),
    (0, 29, {}, False),
    (10, 20, {}, True),
    (14, 15, {}, False),
    (4, 5, {"min_samples": 10}, False),
    (4, 6, {"min_samples": 10}, True),
    (24, 76, {"min_label_coverage": 0.25}, True),
    (25, 75, {"min_label_coverage": 0.25}, False),
    (90, 10, {"min_label_coverage": 1.0}, True),
]


@requirement("R10")
def test_coverage_below_the_minimum_fires(submission, props):
    for labelled, unlabelled, rules, fires in COVERAGE:
        watch = Watch(submission, props, **({"min_label_coverage": 0.5} | rules))
        watch.log(right=labelled // 2, unlabelled=unlabelled).log(wrong=labelled - labelled // 2)
        situation = f"{labelled} of {labelled + unlabelled} have a label, under {rules or 'a minimum of 0.5'}"
        expect(watch.alerts(), UNCOVERED if fires else [], situation)


@requirement("R10")
def test_coverage_looks_at_the_newest_window_of_all_predictions(submission, props):
    watch = Watch(submission, props, min_label_coverage=0.5).log(right=200).log(unlabelled=60).log(right=40)
    expect(watch.alerts(), UNCOVERED, "40 of the newest 100 have a label")
    watch = Watch(submission, props, min_label_coverage=0.5).log(unlabelled=200).log(right=60).log(unlabelled=40)
    expect(watch.alerts(), [], "60 of the newest 100 have a label")
    watch = Watch(submission, props, min_label_coverage=0.5, window_size=40).log(right=100).log(unlabelled=40)
    expect(watch.alerts(), UNCOVERED, "none of the newest 40 has a label, and window_size is 40")
    watch = Watch(submission, props, min_label_coverage=0.5, window_size=200).log(right=100).log(unlabelled=90)
    expect(watch.alerts(), [], "100 of 190 have a label, and window_size is 200")


@requirement("R10")
def test_coverage_goes_by_prediction_time(submission, props):
    watch = Watch(submission, props, min_label_coverage=0.5)
    watch.log(right=100, timestamp=900_000.0).log(unlabelled=100, timestamp=800_000.0)
    expect(watch.alerts(), [], "100 unlabelled predictions were backfilled behind 100 labelled ones")


@requirement("R10")
def test_young_predictions_are_not_expected_to_have_a_label(submission, props):
    watch = Watch(submission, props, min_label_coverage=0.5, label_delay_s=7200.0).log(right=60)
    watch.now += 7000
    watch.log(unlabelled=100)
    expect(watch.after(300), [], "100 unlabelled predictions are 300 s old, and labels take 7200 s")
    expect(watch.after(6800), [], "100 unlabelled predictions are 7100 s old, and labels take 7200 s")
    expect(watch.after(200), UNCOVERED, "100 unlabelled predictions are 7300 s old, and labels take 7200 s")


@requirement("R10")
def test_young_predictions_do_not_help_either(submission, props):
    watch = Watch(submission, props, min_label_coverage=0.5, label_delay_s=7200.0).log(unlabelled=60)
    watch.now += 7300
    watch.log(right=100)
    expect(watch.alerts(), UNCOVERED, "60 old predictions have no label, 100 young ones have one")


@requirement("R10")
def test_the_age_is_that_of_the_timestamp(submission, props):
    watch = Watch(submission, props, min_label_coverage=0.5, label_delay_s=7200.0)
    watch.log(unlabelled=50, timestamp=watch.now - 8000)
    expect(watch.alerts(), UNCOVERED, "50 unlabelled predictions were backfilled that are 8000 s old")


@requirement("R10")
def test_too_few_old_predictions_cannot_be_judged(submission, props):
    watch = Watch(submission, props, min_label_coverage=0.5, label_delay_s=7200.0).log(unlabelled=29)
    watch.now += 7300
    expect(watch.log(unlabelled=100).alerts(), [], "29 predictions are old enough, and min_samples is 30")


@requirement("R10")
def test_late_labels_resolve_low_coverage(submission, props):
    watch = Watch(submission, props, min_label_coverage=0.5)
    props.log_all(watch.monitor, [(1, None, f"p{i}", None) for i in range(100)])
    expect(watch.after(10), UNCOVERED, "no label came yet")
    expect(watch.after(10), [], "a second look")
    props.label_all(watch.monitor, [(f"p{i}", 1) for i in range(49)])
    expect(watch.after(10), [], "49 of 100 have a label")
    expect(watch.after(4000), UNCOVERED, "49 of 100 have a label, and the cooldown has passed")
    props.label_all(watch.monitor, [("p99", 1)])
    expect(watch.after(10), COVERED, "50 of 100 have a label")
    expect(watch.after(5000), [], "later")


@requirement("R10")
def test_too_few_predictions_keep_low_coverage_open(submission, props):
    watch = Watch(submission, props, min_label_coverage=0.5, label_delay_s=100.0, max_records=50).log(unlabelled=50)
    expect(watch.after(200), UNCOVERED, "50 old predictions without a label")
    watch.log(right=40)
    expect(watch.after(0), [], "only 10 predictions that are old enough are still held")
    expect(watch.after(200), COVERED, "40 of 50 old predictions have a label")


@requirement("R10")
def test_a_coverage_alert_says_what_was_seen(submission, props):
    watch = Watch(submission, props, now=5000.0, min_label_coverage=0.5, window_size=80)
    watch.log(right=100).log(right=20, unlabelled=60)
    watch.now = 5060.0
    (alert,) = watch.monitor.generate_alerts()
    check_alert(alert, "label_coverage", "firing", value=0.25, threshold=0.5, n=80, timestamp=5060.0)


@requirement("R10")
def test_all_three_types_can_fire_at_once(submission, props):
    rules = {"baseline_accuracy": 0.9, "max_silence_s": 600.0, "min_label_coverage": 0.9}
    watch = Watch(submission, props, **rules).log(wrong=50, unlabelled=50)
    found = sorted(watch.after(700))
    assert found == sorted(FIRING + SILENT + UNCOVERED), f"three conditions hold, and the alerts were {found}"
    expect(watch.after(60), [], "a second look")
