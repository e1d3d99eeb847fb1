"""The deployed objects, put together as kustomize does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

DEPLOY = Path(__file__).parents[2] / "deploy"
BASE = DEPLOY / "base"
NODE = DEPLOY / "node"
COMPONENTS = DEPLOY / "components"


def documents(path: Path) -> list[Manifest]:
    return [found for found in yaml.safe_load_all(path.read_text()) if found]


def kustomization(folder: Path) -> Manifest:
    (found,) = documents(folder / "kustomization.yaml")
    return found


def built(folder: Path) -> list[Manifest]:
    """Return the objects of a kustomization, its images replaced."""
    tags = {image["name"]: image["newTag"] for image in kustomization(folder).get("images", ())}
    return [_with_images(manifest, tags=tags) for manifest in _resources(folder)]


def _resources(folder: Path) -> Iterator[Manifest]:
    for name in kustomization(folder)["resources"]:
        path = folder / name
        if path.is_dir():
            yield from built(path)
        else:
            yield from documents(path)


def _with_images(manifest: Manifest, *, tags: dict[str, str]) -> Manifest:
    for container in containers(manifest):
        tag = tags.get(container["image"])
        if tag:
            container["image"] = f"{container['image']}:{tag}"
    return manifest


def containers(manifest: Manifest) -> list[Manifest]:
    template = manifest.get("spec", {}).get("template", {})
    found: list[Manifest] = template.get("spec", {}).get("containers", [])
    return found


def one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = (
        manifest
        for manifest in manifests
        if (manifest["kind"], manifest["metadata"]["name"]) == (kind, name)
    )
    return found
