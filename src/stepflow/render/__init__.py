"""From templates to files: `render_template` is pure, `write_tree` is the only function that touches the disk."""

from stepflow.render.template import render_template
from stepflow.render.tree import Written, digest, write_tree

__all__ = ["Written", "digest", "render_template", "write_tree"]
