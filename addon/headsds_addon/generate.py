# SPDX-License-Identifier: GPL-3.0-or-later
"""Heads from the command line; the folder that holds this file is the add-on.

    blender -b [file.blend] --python-exit-code 1 --python headsds_addon/generate.py -- --help
"""

import os
import sys

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from headsds_addon.headless import command
    sys.exit(command.main(sys.argv[sys.argv.index("--") + 1:] if "--" in sys.argv else []))
