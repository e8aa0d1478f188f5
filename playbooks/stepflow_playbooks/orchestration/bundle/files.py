"""The bundle as files: manifests with kustomize overlays, a Helm chart, and the list of the Secrets that it needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources

from stepflow.targets.kubernetes.bundle import Bundle, every, manifests, required_secrets

from .chart import SLOTS, chart_files
from .kustomize import kustomize_files
from .readme import readme

FOLDER = "orchestration"
MANIFESTS = f"{FOLDER}/kubernetes"
CHART = f"{FOLDER}/chart"
SECRETS_LIST = f"{FOLDER}/required-secrets.json"
SECRETS_SCRIPT = f"{FOLDER}/make_secrets.py"
README = f"{FOLDER}/README.md"


def bundle_files(bundle: Bundle) -> Mapping[str, bytes]:
    """Return path below the rendered tree -> content. The same bundle gives the same bytes."""
    production, required = manifests(bundle, SLOTS), required_secrets(bundle)
    secrets = {"namespace": bundle.namespace, "secrets": [asdict(secret) for secret in required]}
    texts = {
        **_below(MANIFESTS, kustomize_files(production, manifests(bundle.development()))),
        **_below(CHART, chart_files(bundle, production)),
        SECRETS_LIST: json.dumps(secrets, indent=2) + "\n",
        SECRETS_SCRIPT: resources.files(__package__).joinpath("make_secrets.py").read_text("utf-8"),
        README: readme(bundle, len(every(production)), required),
    }
    return {path: text.encode() for path, text in texts.items()}


def _below(folder: str, files: Mapping[str, str]) -> dict[str, str]:
    return {f"{folder}/{path}": text for path, text in files.items()}
