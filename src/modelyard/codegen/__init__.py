"""The code generator: from the `.s2i/environment` of model directories to `all/`, and from nothing to a scaffold."""

from modelyard.codegen.combined import generate
from modelyard.codegen.tree import GeneratedFile, GeneratedTree, check_tree, diff_tree, write_tree

__all__ = ["GeneratedFile", "GeneratedTree", "check_tree", "diff_tree", "generate", "write_tree"]
