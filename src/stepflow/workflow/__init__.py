"""What a document says: a frozen `Workflow` of steps and edges, each with its place in the file."""

from stepflow.workflow.document import (
    choose,
    concerning,
    former_slug,
    load,
    parse,
    slug,
    split_path,
    with_sources,
)
from stepflow.workflow.excerpt import excerpt, listed
from stepflow.workflow.fields import FORMAT_KEYS, SYNONYMS, normalise_key, spoken_key
from stepflow.workflow.model import Edge, Field, Step, Text, Workflow
from stepflow.workflow.printing import format_workflow
from stepflow.workflow.textfile import read_text

__all__ = [
    "FORMAT_KEYS",
    "SYNONYMS",
    "Edge",
    "Field",
    "Step",
    "Text",
    "Workflow",
    "choose",
    "concerning",
    "excerpt",
    "format_workflow",
    "former_slug",
    "listed",
    "load",
    "normalise_key",
    "parse",
    "read_text",
    "slug",
    "split_path",
    "spoken_key",
    "with_sources",
]
