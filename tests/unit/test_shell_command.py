"""What `shell` executes of a prompt: only what is fenced where something is, and that to the letter."""

from __future__ import annotations

import pytest

from stepflow.workflow import parse
from stepflow_playbooks.shell.playbook import command


def read(prompt: str) -> str:
    """Return what is executed of a step with this text below `- Prompt:`."""
    (workflow,), _ = parse(f"## Step 1\n- Playbook: shell\n- Prompt:{prompt}\n- Handoff: h\n", "w.md")
    return command(workflow.steps[0].prompt)


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        (" make all", "make all"),
        (" `make all`", "make all"),
        ("\n  ```bash\n  make\n    all\n  ```", "make\n  all"),
        ("\n\n```bash\nmake\n```\n\nThen rm -rf / would be wrong.\n\n```\nmake all\n```", "make\nmake all"),
        (" first this\n  ```bash\n  make\n  ```\n  and then wait", "make"),
        ("\n  1. Do it:\n\n     ```sh\n     make\n       all\n     ```\n  2. Wait.", "make\n  all"),
        ("\n\n```bash\nmake\n```\n\nIt prints:\n\n```text\nok\n```", "make"),
        ("\n\n```python\nprint()\n```\n\n```ruby\nputs\n```", "print()\nputs"),
        ("\n  ```bash\n  cat <<-END\n  \tone  \n  \t\ttwo\n  END\n  ```", "cat <<-END\n\tone  \n\t\ttwo\nEND"),
        ("\n\n~~~bash\nprintf 'a\t' \n\n  x \n~~~", "printf 'a\t' \n\n  x "),
        ("\n\t```bash\n\tmake\n\t\tall\n\t```", "make\n\tall"),
        ("\n  ````bash\n  cat > f <<'E'\n  ```\n  x\n  ```\n  E\n  ````", "cat > f <<'E'\n```\nx\n```\nE"),
        (" make:\n  ```bash\n  make", "make"),
        (" echo ``` and ~~~", "echo ``` and ~~~"),
        ("\n  ```bash\n      make\n  ```", "make"),
    ],
)
def test_only_what_is_fenced_is_executed_where_something_is_and_to_the_letter(prompt: str, code: str) -> None:
    assert read(prompt) == code


@pytest.mark.parametrize(
    ("prompt", "value"),
    [
        ("\n  ```bash\n  make\n\n    all\n  ```", "make\n\n  all"),
        (" make\n  all", "make\nall"),
        ("\n  ````md\n  a\n  ````", "a"),
        ("\n\n```\nmake\n```\n\ntext\n\n```\nall\n```", "```\nmake\n```\n\ntext\n\n```\nall\n```"),
    ],
)
def test_a_prompt_that_version_0_1_read_is_read_alike(prompt: str, value: str) -> None:
    (workflow,), _ = parse(f"## Step 1\n- Prompt:{prompt}\n- Handoff: h\n", "w.md")
    assert workflow.steps[0].prompt == value
