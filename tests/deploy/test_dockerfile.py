"""The image: what its file promises, and what its steps make of a clean folder."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.dockerfile import Container, Stage, stages
from tests.deploy.manifests import BASE, built, containers, one

ROOT = Path(__file__).parents[2]
BUILD, RUNTIME = stages(ROOT / "Dockerfile")
PREFIX = "/opt/kubearmor-monitor"


def test_both_stages_begin_with_the_same_slim_image() -> None:
    assert (BUILD.image, RUNTIME.image) == ("python:3.13-slim", "python:3.13-slim")


def test_the_image_runs_as_nobody_in_particular_and_shadows_no_module() -> None:
    assert RUNTIME.arguments("USER") == ["65532:65532"]
    assert RUNTIME.environment["PYTHONSAFEPATH"] == "1"


def test_the_image_takes_nothing_but_the_environment_from_the_build() -> None:
    assert RUNTIME.arguments("COPY") == [f"--from=build {PREFIX} {PREFIX}"]
    assert RUNTIME.arguments("RUN") == []


def test_no_test_is_copied() -> None:
    copied = [name for text in BUILD.arguments("COPY") for name in text.split()[:-1]]
    assert copied == [
        "requirements/build.lock",
        "requirements/run.lock",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "monitor/",
    ]


def test_what_is_copied_is_all_that_the_build_is_given() -> None:
    copied = {name.rstrip("/") for text in BUILD.arguments("COPY") for name in text.split()[:-1]}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == copied


def test_everything_from_outside_is_pinned_by_its_hash() -> None:
    installs = [text for text in BUILD.arguments("RUN") if " install " in text]
    assert installs
    assert all("--require-hashes" in text or "--no-index" in text for text in installs)


def test_the_image_starts_what_the_deployment_expects() -> None:
    (entry,) = (json.loads(text) for text in RUNTIME.arguments("ENTRYPOINT"))
    (default,) = (json.loads(text) for text in RUNTIME.arguments("CMD"))
    (container,) = containers(one(built(BASE), "StatefulSet", "kubearmor-monitor"))
    assert (entry, default) == (["kubearmor-monitor"], ["run"])
    assert container["args"][0] == "run"
    assert RUNTIME.arguments("EXPOSE") == [str(container["ports"][0]["containerPort"])]


@pytest.fixture(scope="module")
def built_image() -> Iterator[Container]:
    """Return a folder in which every step of the build was carried out by another user."""
    root = Path(tempfile.mkdtemp(prefix="image-"))
    container = Container(root=root, source=ROOT, python=_python_for_everybody())
    try:
        _carry_out(BUILD, container)
        yield container
    finally:
        shutil.rmtree(root)


@pytest.mark.servers
def test_the_steps_make_a_command_that_works(built_image: Container) -> None:
    text = _call(built_image, "kubearmor-monitor --help")
    assert "usage: kubearmor-monitor" in text


@pytest.mark.servers
def test_the_installed_package_is_the_one_that_is_imported(built_image: Container) -> None:
    where = _call(built_image, "python -c 'import monitor; print(monitor.__file__)'")
    assert Path(where.strip()).is_relative_to(built_image.root / PREFIX.lstrip("/"))
    assert "site-packages" in where


@pytest.mark.servers
def test_the_installed_package_has_the_board_and_the_recording(built_image: Container) -> None:
    installed = _installed(built_image)
    assert {
        "monitor/board/index.html",
        "monitor/board/causes.json",
        "monitor/board/findings.json",
        "monitor/commands/demo/seed.jsonl.zst",
        "monitor/py.typed",
    } <= installed


@pytest.mark.servers
def test_no_test_and_no_installer_is_in_the_image(built_image: Container) -> None:
    top = {name.split("/")[0] for name in _installed(built_image)}
    assert top & {"tests", "conftest.py", "pytest", "pip", "hatchling"} == set()


def _carry_out(stage: Stage, container: Container) -> None:
    folder = "/"
    for instruction, text in stage.steps:
        if instruction == "WORKDIR":
            folder = text
            (container.root / folder.lstrip("/")).mkdir(parents=True)
            (container.root / "opt").mkdir()
        elif instruction == "COPY":
            container.copy(text, folder=folder)
        elif instruction == "RUN":
            container.own()
            container.run(container.inside(text, folder=folder), environment=stage.environment)


def _call(container: Container, command: str) -> str:
    environment = {**RUNTIME.environment}
    environment["PATH"] = f"{container.root}{PREFIX}/bin:/usr/bin:/bin"
    folder = container.root / "src"
    return container.run(f"cd {folder} && {command}", environment=environment)


def _installed(container: Container) -> set[str]:
    (packages,) = (container.root / PREFIX.lstrip("/")).glob("lib/python*/site-packages")
    return {str(path.relative_to(packages)) for path in packages.rglob("*") if path.is_file()}


def _python_for_everybody() -> str:
    """Return an interpreter that another user can start, one of the system's own."""
    for name in ("python3.13", "python3.12", "python3.11", "python3"):
        for folder in ("/usr/local/bin", "/usr/bin"):
            candidate = f"{folder}/{name}"
            if os.access(candidate, os.X_OK):
                return candidate
    raise AssertionError("no python3 in /usr/bin: apt-get install python3 python3-venv")
