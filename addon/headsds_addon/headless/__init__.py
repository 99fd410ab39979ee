# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: a head from a prompt into a .blend, a .glb and pictures, without a window."""
