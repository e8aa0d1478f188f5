"""Print the Secrets that the platform needs, with random passwords, as one Kubernetes List in JSON.

It asks for what only you know (the password of a mail server).

python3 make_secrets.py [NAMESPACE] | kubectl create -f -

`create` fails if they exist already, so that a second call does not lock the services out of their databases.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections import defaultdict
from getpass import getpass
from pathlib import Path

_ONE_NAME = 2  # with the script's name


def main() -> None:
    """Read `required-secrets.json` beside this file; keys with the same `password` get the same text."""
    required = json.loads((Path(__file__).parent / "required-secrets.json").read_text("utf-8"))
    if len(sys.argv) > _ONE_NAME or any(each.startswith("-") for each in sys.argv):
        sys.exit(__doc__)
    namespace = sys.argv[1] if len(sys.argv) == _ONE_NAME else required["namespace"]
    passwords: defaultdict[str, str] = defaultdict(lambda: secrets.token_urlsafe(32))
    passwords |= {item["password"]: getpass(f"{item['secret']}: ") for item in required["secrets"] if item["given"]}
    texts: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for item in required["secrets"]:
        texts[item["secret"]][item["key"]] = item["shape"].replace("PASSWORD", passwords[item["password"]])
    items = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "type": "Opaque",
            "stringData": keys,
        }
        for name, keys in texts.items()
    ]
    json.dump({"apiVersion": "v1", "kind": "List", "items": items}, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
