"""The kit is found beside the engine, and one broken challenge does not hide the others."""

from pathlib import Path

import pytest
from samples import write_challenge, write_kit

from rounds.catalog import Catalog, kit_roots
from rounds.errors import ChallengeError, KitMissing, UnknownChallenge


def test_in_a_clone_the_kit_is_the_folder_above_src(tmp_path: Path) -> None:
    write_challenge(tmp_path, "drift_alarm")
    assert kit_roots(tmp_path / "src" / "rounds") == (tmp_path,)


def test_in_a_wheel_the_kit_lies_in_the_package(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "rounds"
    write_challenge(package / "kit", "drift_alarm")
    assert kit_roots(package) == (package / "kit",)


def test_a_stray_challenges_folder_beside_an_installed_package_is_no_kit(tmp_path: Path) -> None:
    write_challenge(tmp_path, "drift_alarm")
    assert kit_roots(tmp_path / "site-packages" / "rounds") == ()


def test_no_kit_is_said_with_a_way_out() -> None:
    with pytest.raises(KitMissing, match="wheel"):
        Catalog([])


def test_challenges_come_in_alphabetical_order(tmp_path: Path) -> None:
    catalog = write_kit(tmp_path)
    assert catalog.slugs == ("drift_alarm", "model_api", "serving_image")
    assert [challenge.slug for challenge in catalog] == list(catalog.slugs)


def test_a_folder_without_challenge_toml_is_no_challenge(tmp_path: Path) -> None:
    catalog = write_kit(tmp_path)
    (tmp_path / "challenges" / "notes").mkdir()
    assert "notes" not in catalog.slugs


def test_an_unknown_slug_is_answered_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UnknownChallenge, match=r"Did you mean model_api\?"):
        write_kit(tmp_path).challenge("model_apo")


@pytest.mark.parametrize("slug", ["", ".", "..", "../challenges/drift_alarm", "/etc"])
def test_a_slug_is_never_a_path(tmp_path: Path, slug: str) -> None:
    with pytest.raises(UnknownChallenge):
        write_kit(tmp_path).challenge(slug)


def test_a_broken_challenge_leaves_the_others_usable(tmp_path: Path) -> None:
    write_challenge(tmp_path, "broken", "format = 1\n")
    catalog = write_kit(tmp_path)
    assert [challenge.slug for challenge in catalog.sound()] == ["drift_alarm", "model_api", "serving_image"]
    with pytest.raises(ChallengeError, match="title is missing"):
        catalog.challenge("broken")


def test_of_two_kits_the_first_wins(tmp_path: Path) -> None:
    write_challenge(tmp_path / "mine", "drift_alarm")
    write_kit(tmp_path / "theirs")
    catalog = Catalog([tmp_path / "mine", tmp_path / "theirs"])
    assert catalog.challenge("drift_alarm").folder == tmp_path / "mine" / "challenges" / "drift_alarm"
    assert catalog.challenge("model_api").folder == tmp_path / "theirs" / "challenges" / "model_api"
