"""The typed inputs of a `shell` step."""

from __future__ import annotations

from pathlib import PurePosixPath

from pydantic import Field, field_validator

from stepflow.playbook import Settings


class ShellSettings(Settings):
    """How the command is run, and what it leaves behind."""

    timeout: float | None = Field(None, gt=0, description="seconds the command may take; none: no limit")
    retries: int = Field(0, ge=0, le=20, description="how often it is tried again after it failed")
    creates: tuple[str, ...] = Field(
        (), description="files or folders the command makes, relative to the working directory: `dist/app, report.txt`"
    )

    @field_validator("creates")
    @classmethod
    def _stay_inside(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for path in paths:
            parts = PurePosixPath(path)
            if parts.is_absolute() or ".." in parts.parts or not path.strip():
                raise ValueError(f"`{path}` is not below the working directory")
        return paths
