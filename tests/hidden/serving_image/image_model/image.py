"""What was built."""

from dataclasses import dataclass

from .disk import Who
from .stage import Stage, Step


@dataclass(frozen=True)
class Image:
    """All stages, and the one that becomes the image."""

    stages: list[Stage]
    final: Stage

    @property
    def used(self) -> list[Stage]:
        """The stages that the final one needs, itself included."""
        found: list[Stage] = []
        waiting = [self.final]
        while waiting:
            stage = waiting.pop()
            if stage not in found:
                found.append(stage)
                waiting += stage.uses
        return found

    @property
    def steps(self) -> list[Step]:
        """What the needed stages install, each step once."""
        return list(dict.fromkeys(step for stage in self.used for step in stage.steps))

    @property
    def problems(self) -> list[str]:
        """Why a needed stage could not be built."""
        return [problem for stage in self.used for problem in stage.problems]

    @property
    def who(self) -> Who:
        """The user that the image runs as."""
        return self.final.who()

    @property
    def opaque(self) -> bool:
        """Whether something was done to the last stage that the model cannot follow."""
        return bool(self.final.disk.opaque)
