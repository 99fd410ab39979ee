/* SPDX-License-Identifier: Apache-2.0 */
/* What names in a recipe stand for. */
#include "fit/fit.h"

const fit_kinds fit_built_in = {
    .guides = { &guide_sds },
    .textures = { &texture_texels },
    .preconditioners = { &fit_whitening, &fit_pyramid },
    .optimizers = { &optim_adam },
};
