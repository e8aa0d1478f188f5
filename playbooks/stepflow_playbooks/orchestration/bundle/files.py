"""The bundle as files: manifests with kustomize overlays, a Helm chart, and the list of Secrets it needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources

from stepflow.targets.kubernetes.manifests.secrets import RequiredSecret, required_secrets

from .chart import chart_files
from .kustomize import kustomize_files
from .manifests import Manifests, manifests
from .model import Bundle
from .readme import readme

FOLDER = "orchestration"
MANIFESTS = f"{FOLDER}/kubernetes"
CHART = f"{FOLDER}/chart"
SECRETS_LIST = f"{FOLDER}/required-secrets.json"
SECRETS_SCRIPT = f"{FOLDER}/make_secrets.py"
README = f"{FOLDER}/README.md"


def bundle_files(bundle: Bundle) -> Mapping[str, bytes]:
    """Give the bundle: path below the rendered tree to content. The same platform gives the same bytes."""
    production = manifests(bundle)
    wanted = required_secrets(bundle.platform, bundle.declaration)
    secrets = {"namespace": bundle.namespace, "secrets": [asdict(secret) for secret in wanted]}
    texts = {
        **_below(MANIFESTS, kustomize_files(production, manifests(bundle.development()))),
        **_below(CHART, chart_files(bundle, production)),
        SECRETS_LIST: json.dumps(secrets, indent=2) + "\n",
        SECRETS_SCRIPT: resources.files(__package__).joinpath("make_secrets.py").read_text("utf-8"),
        README: _readme(bundle, production, wanted),
    }
    return {path: text.encode() for path, text in texts.items()}


def _below(folder: str, files: Mapping[str, str]) -> dict[str, str]:
    return {f"{folder}/{path}": text for path, text in files.items()}


def _readme(bundle: Bundle, production: Manifests, wanted: tuple[RequiredSecret, ...]) -> str:
    return readme(bundle, sum(map(len, production.values())), wanted)
