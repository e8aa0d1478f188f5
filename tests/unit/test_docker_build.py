"""What a build says: its steps as they come, and why it failed."""

from __future__ import annotations

import pytest

from stepflow.errors import MachineError, PermanentError, StepflowError, TemporaryError
from stepflow.targets.building.output import BuildOutput

RUN = "Step 4/11 : RUN python -m pip install --require-hashes -r requirements.lock"
CODE = "The command '/bin/sh -c python' returned a non-zero code: 1"


def fed(*texts: str) -> BuildOutput:
    output = BuildOutput("shop", "image-shop.log")
    for text in texts:
        output.feed({"stream": text})
    return output


def failed(*texts: str, error: str = CODE) -> StepflowError:
    output = fed(*texts)
    with pytest.raises(StepflowError) as raised:
        output.feed({"errorDetail": {"message": error}, "error": error})
    assert raised.value.log == "image-shop.log"
    return raised.value


@pytest.mark.parametrize("line", ["Step 4/11 : COPY a b", "STEP 4/11: COPY a b"])
def test_the_step_is_known_whichever_engine_says_it(line: str) -> None:
    assert fed(f"{line}\n").step == "4/11 COPY a b"


def test_a_long_instruction_is_cut_where_people_read_it() -> None:
    assert len(fed(f"Step 4/11 : RUN {'x' * 300}\n").step) == len("4/11 ") + 100


def test_lines_come_whole_however_the_engine_cuts_them() -> None:
    output = BuildOutput("shop", "image-shop.log")
    assert output.feed({"stream": "one\ntw"}) == ["one"]
    assert output.feed({"stream": "o\n"}) == ["two"]
    assert output.feed({"status": "Pulling from library/python"}) == ["Pulling from library/python"]
    assert output.feed({"aux": {"ID": "sha256:1"}}) == []


def test_a_failing_instruction_is_said_with_its_last_lines_and_without_the_builders_own() -> None:
    lines = [f"\x1b[91mline {number}\x1b[0m\n" for number in range(20)]
    error = failed(
        f"{RUN}\n", " ---> Running in 1f2e3d4c5b6a\n", *lines, "Removing intermediate container 1f2e3d4c5b6a\n"
    )
    assert isinstance(error, PermanentError)
    last = "\n".join(f"line {number}" for number in range(5, 20))
    assert error.message == (
        "the image of `shop` cannot be built: `4/11 RUN python -m pip install --require-hashes -r "
        f"requirements.lock` ended with code 1:\n{last}"
    )
    assert error.hint == "fix `shop/Dockerfile`, or what it copies, then `stepflow resume`"


def test_lines_of_an_earlier_instruction_are_no_cause() -> None:
    error = failed("Step 3/11 : RUN true\n", "all is well\n", f"{RUN}\n", "it broke\n")
    assert error.message.endswith("ended with code 1:\nit broke")


def test_an_instruction_that_wants_the_network_is_told_that_there_is_none() -> None:
    error = failed("Step 4/11 : RUN apt-get update\n", "Temporary failure resolving: Name or service not known\n")
    assert error.hint == (
        "builds have no network: install from the folders `wheels-*` with the build arguments PIP_NO_INDEX and "
        "PIP_FIND_LINKS, or start from a `--base-image` that has what `shop/Dockerfile` fetches"
    )


@pytest.mark.parametrize(
    ("line", "error"),
    [("OSError: [Errno 28] No space left on device\n", CODE), ("", "write /layer.tar: no space left on device")],
)
def test_an_engine_without_space_is_the_machines_matter(line: str, error: str) -> None:
    raised = failed(f"{RUN}\n", line, error=error)
    assert isinstance(raised, MachineError)
    full = (line or error).strip()
    assert raised.message == f"the image of `shop` cannot be built: the Docker engine has no space left: {full}"
    assert raised.hint == (
        "`docker system df` shows what takes it, `docker image prune` frees what is not used; then `stepflow resume`"
    )


def test_a_stage_that_starts_from_an_image_that_cannot_be_had_names_it() -> None:
    text = "pull access denied for absent/nothing, repository does not exist or may require 'docker login'"
    error = failed("Step 1/3 : FROM absent/nothing:1 AS tools\n", error=text)
    assert error.message == (
        f"the image of `shop` cannot be built: `absent/nothing:1` is not here and cannot be pulled: {text}"
    )
    assert error.hint == "`docker pull absent/nothing:1`, or `docker load` an archive of it, then run again"


def test_what_cannot_be_copied_is_said_in_the_engines_words() -> None:
    error = failed("Step 2/3 : COPY nothing /\n", error="COPY failed: file not found in build context: nothing")
    assert error.message == (
        "the image of `shop` cannot be built: `2/3 COPY nothing /`: COPY failed: file not found in build context: "
        "nothing"
    )


def test_a_dockerfile_that_cannot_be_read_is_said_in_the_engines_words() -> None:
    error = failed(error="dockerfile parse error line 2: unknown instruction: RUM")
    assert error.message == (
        "the image of `shop` cannot be built: dockerfile parse error line 2: unknown instruction: RUM"
    )


def test_a_layer_that_someone_removed_while_it_was_built_on_is_tried_again() -> None:
    output = BuildOutput("orders", "image-orders.log")
    output.feed({"stream": "Step 18/24 : COPY --from=build /app /app\n"})
    gone = 'failed to get destination image "sha256:7a": No such image: sha256:7a'
    with pytest.raises(TemporaryError, match="an image that it shares layers with was removed"):
        output.feed({"error": gone})
