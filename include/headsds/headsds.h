/* SPDX-License-Identifier: Apache-2.0 */
/* The whole public C API of headsds. */
#ifndef HEADSDS_HEADSDS_H
#define HEADSDS_HEADSDS_H

#include "headsds/asset.h"
#include "headsds/attention.h"
#include "headsds/clip.h"
#include "headsds/error.h"
#include "headsds/generate.h"
#include "headsds/head.h"
#include "headsds/head_model.h"
#include "headsds/prior.h"
#include "headsds/render.h"
#include "headsds/report.h"
#include "headsds/sample.h"
#include "headsds/threads.h"
#include "headsds/uv.h"
#include "headsds/version.h"
#include "headsds/view.h"

#endif
