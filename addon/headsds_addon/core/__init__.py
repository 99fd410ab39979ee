# SPDX-License-Identifier: GPL-3.0-or-later
"""What the add-on does that needs no Blender: numbers, names, and following a running job.

Nothing in here may import bpy: a test reads the sources for it.
"""
