# SPDX-License-Identifier: Apache-2.0
"""Model folders, single files, schedulers and LoRAs as users have them."""

import headsds
from files import edit_json, numbers, read_safetensors, write_safetensors
