# SPDX-License-Identifier: Apache-2.0
"""A process that forks, ends, is interrupted, or has another libtorch."""

import headsds
