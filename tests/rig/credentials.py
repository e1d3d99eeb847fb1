"""The files that say who may call a control plane: signing keys, tokens, kubeconfigs."""

import json
from typing import Any

from tests.rig.layout import ADMIN, Layout
from tests.rig.processes import run_once

GROUPS = {ADMIN: "system:masters"}


def token(user: str) -> str:
    return f"token-of-{user}"


async def write(layout: Layout, *, users: tuple[str, ...]) -> None:
    """Write everything the API server and its clients read at their start."""
    layout.folder.mkdir(parents=True, exist_ok=True)
    await _write_keys(layout)
    lines = [f'{token(user)},{user},uid-of-{user},"{GROUPS.get(user, "")}"\n' for user in users]
    layout.tokens.write_text("".join(lines))
    for user in users:
        layout.kubeconfig(user).write_text(json.dumps(_kubeconfig(layout, user=user), indent=1))


async def _write_keys(layout: Layout) -> None:
    private, public = str(layout.signing_key), str(layout.signing_key_public)
    await run_once(("openssl", "genrsa", "-out", private, "2048"))
    await run_once(("openssl", "rsa", "-in", private, "-pubout", "-out", public))


def _kubeconfig(layout: Layout, *, user: str) -> dict[str, Any]:
    cluster = {"server": layout.url, "certificate-authority": str(layout.ca_file)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "rig", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token(user)}}],
        "contexts": [{"name": "rig", "context": {"cluster": "rig", "user": user}}],
        "current-context": "rig",
    }
