"""What each kind of task does to a machine or cloud instance, step by step."""

from __future__ import annotations

from collections.abc import Mapping

from cloudmasterd.recipes import act, change, create, delete, rebuild
from cloudmasterd.recipes.tools import Tools
from cloudmasterd.tasks.recipe import Recipe

__all__ = ["Tools", "build_recipes"]


def build_recipes(tools: Tools) -> Mapping[str, Recipe]:
    """Every kind of task there is, by the kind's name."""
    return {
        "machine.create": create.recipe(tools),
        "machine.change": change.recipe(tools),
        "machine.delete": delete.recipe(tools),
        "machine.adopt": change.adopt_recipe(tools),
        rebuild.KIND: rebuild.recipe(tools),
        "machine.shutdown": act.shutdown_recipe(tools),
        **{f"machine.{verb}": act.recipe(tools, verb) for verb in act.VERBS if verb != "shutdown"},
    }
