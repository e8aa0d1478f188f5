"""What kubectl's kustomize and Helm's engine make of a bundle's files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import helm_python
import yaml

Object = dict[str, Any]
Key = tuple[str, str, str, str]
KUBECTL = Path(sys.executable).parent / "kubectl"


def write(files: Mapping[str, bytes], folder: Path) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder / "orchestration"


def by_kustomize(bundle: Path, overlay: str) -> dict[Key, Object]:
    return _kustomized(bundle / "kubernetes" / "overlays" / overlay)


def by_helm(bundle: Path, namespace: str = "shop", **values: Any) -> dict[Key, Object]:  # noqa: ANN401 - any JSON
    texts = helm_texts(bundle, namespace, **values)
    return by_key(item for text in texts for item in yaml.safe_load_all(text))


def helm_texts(bundle: Path, namespace: str = "shop", **values: Any) -> list[str]:  # noqa: ANN401 - any JSON
    with helm_python.Chart.load(str(bundle / "chart")) as chart:
        return [text for text in chart.render(values, name="release", namespace=namespace).values() if text.strip()]


def read_by_go(texts: Iterable[str], folder: Path) -> dict[Key, Object]:
    """What the YAML reader of kubectl makes of some files."""
    named = {f"{number}.yaml": text for number, text in enumerate(texts)}
    for name, text in named.items():
        (folder / name).write_text(text, "utf-8")
    kustomization = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": [*named]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), "utf-8")
    return _kustomized(folder)


def _kustomized(folder: Path) -> dict[Key, Object]:
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return by_key(yaml.safe_load_all(done.stdout))


def by_key(items: Iterable[Object | None]) -> dict[Key, Object]:
    found: dict[Key, Object] = {}
    for item in items:
        if item is not None:
            meta = item["metadata"]
            key = (item["apiVersion"], item["kind"], meta.get("namespace", ""), meta["name"])
            assert key not in found, f"{key} is rendered twice"
            found[key] = item
    return found
