# SPDX-License-Identifier: Apache-2.0
"""Head models, meshes and saved heads as users have them."""

import headsds
