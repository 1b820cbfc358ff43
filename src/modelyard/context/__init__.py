"""The build context: a directory with what a build needs, staged from model directories, free for the user to edit."""

from modelyard.context.build_context import BuildContext, load_context
from modelyard.context.staging import stage_combined, stage_model

__all__ = ["BuildContext", "load_context", "stage_combined", "stage_model"]
