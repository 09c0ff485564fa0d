"""The ladder of isolation: each rung starts here, its probe finds what it must, and a broken one is passed over."""

import itertools

import pytest

from rounds.errors import BadInput, IsolationUnavailable
from rounds.isolation import choose, climb, ladder, wall
from rounds.isolation.rungs import LETTERS, RUNGS, rung_named
from rounds.isolation.zygote import ZygoteError

NO_WALLS = {
    "opens network sockets",
    "makes namespaces",
    "takes memory that no limit counts",
    "reads the judge's files",
    "sees other processes",
    "writes outside its folder",
}


@pytest.fixture
def holding():
    """Make zygotes that are closed in the end."""
    made = []
    yield made
    for zygote in made:
        zygote.close()


def bwrap_for(rung):
    return wall.bubblewraps()[0] if rung.bwrap else None


def started(rung, holding):
    """Start a rung, or skip where the machine does not offer it."""
    if rung.bwrap and not wall.bubblewraps():
        pytest.skip("no bubblewrap here")
    try:
        holding.append(ladder.start(rung, [], bwrap_for(rung)))
    except ZygoteError as error:
        pytest.skip(f"not on this machine: {error}")
    return holding[-1]


@pytest.mark.parametrize("rung", RUNGS, ids=LETTERS)
def test_a_rung_holds_what_it_promises(rung, holding):
    assert ladder.probe(started(rung, holding)) == []


def test_the_probe_finds_every_wall_that_is_missing(holding):
    """The bare rung, held against the promises of the strongest."""
    zygote = started(rung_named("E"), holding)
    zygote.rung = rung_named("A")
    holes = set(ladder.probe(zygote))
    assert {"opens network sockets", "reads the judge's files", "sees other processes"} <= holes
    assert holes <= {*NO_WALLS, "keeps capabilities"}


def test_a_stronger_rung_forbids_at_least_as_much():
    forbidden = [set(rung.forbids) for rung in RUNGS]
    assert all(weaker <= stronger for stronger, weaker in itertools.pairwise(forbidden))
    assert forbidden[-1] == set()


def test_the_strongest_rung_is_taken_first(holding):
    zygote, record = climb([])
    holding.append(zygote)
    assert (record.rung, record.summary) == (zygote.rung.letter, zygote.rung.summary)
    assert record.protects
    assert bool(record.why) is (record.rung != "A")


@pytest.mark.parametrize("letter", ["C", "D", "E"])
def test_a_rung_can_be_asked_for(letter):
    record = choose(want=letter)
    assert record.rung == letter
    assert record.exposes == rung_named(letter).exposes


def test_a_rung_that_does_not_start_is_passed_over_with_its_reason(monkeypatch, holding):
    monkeypatch.setattr(wall, "bubblewraps", lambda: ["/bin/false"])
    zygote, record = climb([])
    holding.append(zygote)
    assert record.rung not in "AB"
    assert "A: it ended with status 1" in record.why
    assert "B: it ended with status 1" in record.why


def test_a_rung_with_a_hole_is_passed_over_with_its_reason(monkeypatch, holding):
    found = ladder.probe

    def probe(zygote):
        return ["reads minds"] if zygote.rung.letter in "AB" else found(zygote)

    monkeypatch.setattr(ladder, "probe", probe)
    zygote, record = climb([])
    holding.append(zygote)
    assert record.rung not in "AB"
    assert "A: a probe inside reads minds" in record.why


def test_a_machine_without_bubblewrap_says_so(monkeypatch, holding):
    monkeypatch.setattr(wall, "bubblewraps", list)
    zygote, record = climb([])
    holding.append(zygote)
    assert "no bubblewrap on this machine" in record.why
    assert "apt-get install bubblewrap" in record.fix


def test_below_what_is_required_nothing_is_tried(monkeypatch):
    monkeypatch.setattr(wall, "bubblewraps", lambda: ["/bin/false"])
    with pytest.raises(IsolationUnavailable, match=r"isolation B is not to be had here: A: .*; B: ") as caught:
        climb([], require="B")
    assert caught.value.exit_code == 4


def test_what_is_wanted_must_reach_what_is_required():
    with pytest.raises(IsolationUnavailable, match="isolation A is not to be had"):
        climb([], want="E", require="A")


@pytest.mark.parametrize("options", [{"want": "Z"}, {"require": "a"}, {"want": ""}])
def test_an_unknown_rung_is_bad_input(options):
    with pytest.raises(BadInput, match="no isolation rung") as caught:
        climb([], **options)
    assert "A, B, C, D, E" in caught.value.hint


@pytest.mark.parametrize(
    ("reason", "fix"),
    [
        ("A: bwrap: setting up uid map: Permission denied", "apparmor"),
        ("A: bwrap: No permissions to create new namespace", "user namespaces"),
        ("no bubblewrap on this machine", "apt-get install bubblewrap"),
        ("A: something else", ""),
    ],
)
def test_a_known_reason_comes_with_a_fix(reason, fix):
    found = ladder.fix_for([reason])
    assert fix in found
    assert bool(found) is bool(fix)
