"""Everything that `rounds` says when it cannot go on: one exception tree, each with an exit code and a next step."""

from collections.abc import Iterable


class RoundsError(Exception):
    """Stop with one line for the user.

    `message` says what is wrong, `hint` what to do next. `exit_code` is 2 for bad input, 3 for a failure of ours
    (nothing was judged) and 4 when the isolation that was demanded is not to be had.
    """

    exit_code = 3

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class BadInput(RoundsError):
    """What the user gave cannot be used."""

    exit_code = 2


class UnknownChallenge(BadInput):
    """There is no challenge of this name."""

    def __init__(self, slug: str, known: Iterable[str]) -> None:
        hint = did_you_mean(slug, known) or "`rounds list` shows every challenge."
        super().__init__(f"there is no challenge {slug!r}.", hint=hint)


class UnknownRequirement(BadInput):
    """The challenge has no requirement of this name."""

    def __init__(self, slug: str, requirement: str, known: Iterable[str]) -> None:
        ids = list(known)
        hint = did_you_mean(requirement, ids) or f"It has {', '.join(ids)}."
        super().__init__(f"{slug} has no requirement {requirement!r}.", hint=hint)


class KitMissing(RoundsError):
    """No folder with challenges was found beside the engine."""


class ChallengeError(RoundsError):
    """A challenge of the kit is broken: names the file and the field."""


class JudgeFailure(RoundsError):
    """The judge itself failed, so nothing is known about the submission."""


class IsolationUnavailable(RoundsError):
    """The machine cannot give the isolation that was demanded."""

    exit_code = 4


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Ask "Did you mean …?" for the choices nearest to `word`; empty if none is near."""
    from difflib import get_close_matches

    near = get_close_matches(word.lower(), list(choices), n=3, cutoff=0.6)
    near = near or get_close_matches(word.upper(), list(choices), n=3, cutoff=0.6)
    return f"Did you mean {' or '.join(near)}?" if near else ""
