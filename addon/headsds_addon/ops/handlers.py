# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps previews out of saved files, and takes back those that an undo or a file brings along."""

import bpy
from bpy.app.handlers import persistent

from . import preview, session


@persistent
def before_save(*_):
    """A run goes on: its next step shows the preview again."""
    preview.restore_all()


@persistent
def after_change(*_):
    """After an undo, a redo, or another file, when no run owns what is found."""
    if not session.running():
        preview.restore_all()


def _places():
    places = bpy.app.handlers
    return ((places.save_pre, before_save), (places.load_post, after_change),
            (places.undo_post, after_change), (places.redo_post, after_change))


def register():
    for place, handler in _places():
        place.append(handler)


def unregister():
    for place, handler in _places():
        place.remove(handler)
