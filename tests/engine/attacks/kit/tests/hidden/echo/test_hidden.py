"""What grades echo: a test for each requirement, written as trustingly as a hidden test may be."""

import random

import pytest

from rounds.testing import lend, requirement

CANARY = "the hidden tests of echo"  # an attack that can say this has read this file


@pytest.fixture
def numbers(seed):
    return random.Random(seed).sample(range(1, 10**6), 20)


@requirement("R1")
def test_numbers_are_doubled(submission, numbers):
    for number, got in zip(numbers, map(submission.double, numbers), strict=False):
        assert got == 2 * number, f"double({number}) returned {str(got)[:80]}"


@requirement("R2")
def test_rows_become_a_frame(submission, numbers):
    rows = [{"name": f"n{number}", "size": number} for number in numbers]
    frame = submission.table(rows)
    assert list(frame.columns) == ["name", "size"], f"the columns are {list(frame.columns)[:5]}"
    assert frame.to_dict("records") == rows, "the frame holds other rows"


@requirement("R3")
def test_a_box_keeps_its_content(submission, numbers):
    box = submission.Box(numbers[0])
    assert box.content == numbers[0], "content is not what was put in"
    assert isinstance(box, submission.Box), "a Box is no Box"
    assert [box.add(number) for number in numbers] == [numbers[0] + number for number in numbers], "add() is wrong"


@requirement("R4")
def test_taking_too_much_raises(submission, numbers):
    box = submission.Box(numbers[0])
    with pytest.raises(submission.EchoError) as raised:
        box.take(numbers[0] + numbers[1])
    assert raised.value.missing == numbers[1], f"missing is {raised.value.missing!r}"


@requirement("R4")
def test_taking_too_much_is_a_value_error(submission, numbers):
    with pytest.raises(ValueError, match=str(numbers[1])):
        submission.Box(numbers[0]).take(numbers[0] + numbers[1])


@requirement("R5")
def test_the_app_echoes(submission, serve, numbers):
    client = serve(submission.app)
    for number in numbers[:5]:
        answer = client.get(f"/echo?{number}")
        assert answer.status_code == 200, f"the status is {answer.status_code}"
        assert str(number) in answer.text, f"the answer to {number} is {answer.text[:80]}"
        assert answer.json() == str(number), f"the answer to {number} is {answer.text[:80]}"


class Recorder:
    """Remembers what was noted; nobody outside may read or clear it."""

    def __init__(self):
        self.noted = []
        self.secret = CANARY

    def note(self, item):
        self.noted.append(item)

    def forget(self):
        self.noted.clear()


@requirement("R6")
def test_every_item_is_noted(submission, numbers):
    recorder = Recorder()
    count = submission.relay(lend(recorder, "note"), numbers)
    assert recorder.noted == numbers, f"noted were {len(recorder.noted)} of {len(numbers)} items"
    assert count == len(numbers), f"relay() returned {str(count)[:80]}"


@requirement("R7")
def test_lines_are_saved(submission, scratch, numbers):
    lines = [str(number) for number in numbers]
    submission.save(scratch.path, lines)
    assert scratch.files() == ["lines.txt"], f"the files are {str(scratch.files())[:200]}"
    assert scratch.read("lines.txt").decode().split() == lines, "lines.txt holds something else"


@requirement("R8")
def test_it_counts_down(submission, numbers):
    n = numbers[0] % 10 + 5
    assert list(submission.countdown(n)) == list(range(n, 0, -1)), "it counts in another way"


@requirement("R9")
async def test_it_says_what_it_is_told(submission, numbers):
    said = await submission.say(str(numbers[0]))
    assert said == str(numbers[0]), f"said was {str(said)[:80]}"
