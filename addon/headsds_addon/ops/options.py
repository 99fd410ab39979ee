# SPDX-License-Identifier: GPL-3.0-or-later
"""Advanced options as properties of the scene, made from the module's own table: one for each option
of each stage of the default recipe. Those that the artist set are what a run is given."""

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty

from ..core import engine

HIDDEN = ("skip", "steps", "variable")      # Quality says how many steps each stage takes
stages = {}                     # {stage: {option: property}} once they are registered


def _property(table, default):
    """One of bpy.props for a row of headsds.options()."""
    text = {"description": f"{table['help']} ({table['range']})", "default": default}
    if table["type"] == "bool":
        return BoolProperty(**text)
    if table["type"] == "name":
        return EnumProperty(items=[(word, word.capitalize(), "") for word in table["choices"]],
                            **text)
    if table["type"] == "int":
        return IntProperty(min=int(table["low"]) if default else 0, max=int(table["high"]), **text)
    return FloatProperty(min=table["low"], max=table["high"], precision=4, **text)


def make_group():
    """A property group class of all options; without any where the module cannot be loaded."""
    fields = {}
    stages.clear()
    try:
        headsds = engine.module()
    except engine.MissingModule:
        recipe, tables = {}, {}
    else:
        recipe, tables = next(iter(headsds.recipes().values())), headsds.options()
    for stage, options in recipe.items():
        for option, default in options.items():
            if option in tables and option not in HIDDEN:
                name = f"{stage}_{option}"
                fields[name] = _property(tables[option], default)
                stages.setdefault(stage, {})[option] = name
    return type("HeadsdsAdvanced", (bpy.types.PropertyGroup,), {"__annotations__": fields})


def chosen(group):
    """((\"STAGE.OPTION\", value), ...) of what the artist set."""
    return tuple((f"{stage}.{option}", getattr(group, name))
                 for stage, options in stages.items() for option, name in options.items()
                 if group.is_property_set(name))


def reset(group):
    """Gives every option its default again."""
    for options in stages.values():
        for name in options.values():
            group.property_unset(name)
