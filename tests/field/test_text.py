# SPDX-License-Identifier: Apache-2.0
"""Tokenizers and prompts as users have them."""

import headsds
from files import edit_json, numbers
