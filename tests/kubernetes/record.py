"""Record what a real API answers: `STEPFLOW_TEST_KUBECONFIG=… python tests/kubernetes/record.py [NAME…]`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from time import monotonic, sleep
from typing import Self
from urllib.parse import quote

from exchanges import EXCHANGES, NAMESPACE, Ask, Object
from kubernetes import config

RECORDED = Path(__file__).parent / "recorded"
_PATIENCE = 60  # seconds


class Speaker:
    """Sends requests to an API and returns its answers as JSON."""

    def __init__(self, kubeconfig: str, context: str | None = None) -> None:
        self._client = config.new_client_from_config(kubeconfig, context)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._client.rest_client.pool_manager.clear()

    def ask(self, ask: Ask) -> Object:
        """Return the answer's code and body."""
        condition = ask.query.startswith("until=")
        deadline = monotonic() + _PATIENCE
        query = "" if condition else ask.query
        answer = self._once(ask, query)
        while condition and not _has(answer["body"], ask.query.removeprefix("until=")) and monotonic() < deadline:
            sleep(0.1)
            answer = self._once(ask, query)
        return answer

    def _once(self, ask: Ask, query: str) -> Object:
        url = self._client.configuration.host + ask.path + ("?" + quote(query, "=&,!().") if query else "")
        body = None if ask.body is None else json.dumps(ask.body).encode()
        headers = {"Accept": "application/json", "Content-Type": ask.type}
        answer = self._client.rest_client.pool_manager.request(ask.method, url, headers=headers, body=body)
        said = answer.data.decode()
        return {"status": answer.status, "body": json.loads(said) if said.startswith("{") else said}

    def await_gone(self) -> None:
        """Wait until the recorded namespace is gone."""
        deadline = monotonic() + _PATIENCE
        gone = 404
        while monotonic() < deadline:
            if self.ask(Ask("GET", f"/api/v1/namespaces/{NAMESPACE}"))["status"] == gone:
                return
            sleep(0.1)
        raise TimeoutError(f"the namespace `{NAMESPACE}` is still there after {_PATIENCE} s")


def _has(body: object, path: str) -> bool:
    for part in path.split("."):
        body = body.get(part) if isinstance(body, dict) else None
    return bool(body)


def _main() -> None:
    for name in sys.argv[1:] or EXCHANGES:
        with Speaker(os.environ["STEPFLOW_TEST_KUBECONFIG"]) as speaker:
            answers = [speaker.ask(ask) for ask in EXCHANGES[name]]
            speaker.await_gone()
        (RECORDED / f"{name}.json").write_text(json.dumps(answers, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    _main()
