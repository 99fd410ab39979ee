# SPDX-License-Identifier: GPL-3.0-or-later
"""HeadSDS for Blender: 3D heads from text, as shape keys and textures on an artist's own mesh.

Layers, bottom to top: `core` (no bpy, machine-checked), `ops` (bpy data and operators), `ui`
(panel and preferences), `headless` (the command line). Nothing here is imported before
register(), so that `core` can be used and tested without Blender.
"""

bl_info = {
    "name": "HeadSDS",
    "author": "headsds contributors",
    "version": (0, 1, 0),
    "blender": (3, 4, 0),
    "location": "View3D > Sidebar > HeadSDS",
    "description": "3D heads from text: shape keys and textures on a head mesh",
    "category": "Mesh",
}


def register():
    from . import ops, ui
    ops.register()
    ui.register()


def unregister():
    from . import ops, ui
    ui.unregister()
    ops.unregister()
