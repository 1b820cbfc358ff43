"""Requirements files: parse their lines, merge those of many models, and find out which models go together."""

from modelyard.requirements.grouping import Findings, Needs, SharedNeeds, group_needs
from modelyard.requirements.joining import find_join
from modelyard.requirements.lock import pin_requirements
from modelyard.requirements.merge import MergedLine, format_merged, merge_requirements
from modelyard.requirements.parse import RequirementLine, parse_requirements, read_requirements
from modelyard.requirements.resolve import Resolve, Resolver, Verdict
from modelyard.requirements.together import describe_conflict, find_conflicts

__all__ = [
    "Findings",
    "MergedLine",
    "Needs",
    "RequirementLine",
    "Resolve",
    "Resolver",
    "SharedNeeds",
    "Verdict",
    "describe_conflict",
    "find_conflicts",
    "find_join",
    "format_merged",
    "group_needs",
    "merge_requirements",
    "parse_requirements",
    "pin_requirements",
    "read_requirements",
]
