"""Tasks: use cases that run in the background, step by step, and survive whatever happens to the master."""

from cloudmasterd.tasks.recipe import Done, Lane, Later, Recipe, StepContext, StepKind
from cloudmasterd.tasks.runner import TaskRunner

__all__ = ["Done", "Lane", "Later", "Recipe", "StepContext", "StepKind", "TaskRunner"]
