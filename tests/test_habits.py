"""One list of linters, one script of checks: what a commit, a change and a push are judged by is written down once."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]


def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def recipe(target: str) -> list[str]:
    """Return the commands of a target of the Makefile."""
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", text("Makefile"), re.MULTILINE)
    assert found, f"the Makefile has no recipe for {target}"
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in found[1].splitlines()]


def test_the_hooks_of_a_commit_are_the_commands_of_make_lint() -> None:
    (repository,) = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]
    assert repository["repo"] == "local"
    hooks: list[dict[str, Any]] = repository["hooks"]
    assert [hook["entry"] for hook in hooks] == recipe("lint")
    # Each over everything, as make does, with what is installed.
    for hook in hooks:
        assert (hook["language"], hook["always_run"], hook["pass_filenames"]) == ("system", True, False)


def test_the_workflow_runs_the_script_of_checks_and_nothing_of_its_own() -> None:
    (job,) = yaml.safe_load(text(".github/workflows/ci.yml"))["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    used = {step["uses"].split("@")[0] for step in job["steps"] if "uses" in step}
    assert used == {"actions/checkout", "actions/setup-python", "actions/setup-java"}


def test_the_script_of_checks_needs_nothing_from_outside_the_repository() -> None:
    script = text(".ci/run")
    assert "../" not in script
    called = re.findall(r"(?<=[\s/\"])docker/[\w.-]+", script)
    assert called
    for path in called:
        assert (ROOT / path).is_file(), f".ci/run names {path}"


def test_every_public_image_has_a_stand_in() -> None:
    compose = yaml.safe_load(text("docker-compose.yml"))["services"].values()
    images = {service["image"] for service in compose} | set(
        re.findall(r"^FROM (\S+)", text("docker/Dockerfile"), re.M)
    )
    public = {re.sub(r":.*", "", image).rsplit("/")[-1] for image in images if image.startswith("docker.io/")}
    recipes = {path.name.removesuffix(".Dockerfile") for path in (ROOT / "docker" / "stand-ins").glob("*.Dockerfile")}
    assert {name.removeprefix("eclipse-") for name in public} == recipes


def test_make_check_leaves_out_markers_that_exist() -> None:
    left_out = re.search(r'-m "not \((.*)\)"', " ".join(recipe("check")))
    assert left_out
    registered = re.findall(r'^  "(\w+): ', text("pyproject.toml").split("markers = [")[1], re.MULTILINE)
    assert set(left_out[1].split(" or ")) == set(registered)
