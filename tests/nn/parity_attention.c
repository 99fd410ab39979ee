/* SPDX-License-Identifier: Apache-2.0 */
/* Cross-attention maps through the public calls. The case's states are the text's; its model is an
 * UNet alone, whose pipeline folder is the one above. */
#include "headsds/attention.h"
#include "parity.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

void parity_attention(parity *c)
{
    hds_error error = { 0 };
    hds_prior *prior;
    char *unet = parity_model(c, 0, "");
    *strrchr(unet, '/') = 0;
    parity_status(hds_prior_load(&prior, &(hds_prior_params){ .path = unet }, &error), &error);
    const io_tensor *x = parity_find(c, "latents");
    float timesteps[4], timestep = (float)parity_parameter(c, "timestep");
    for (int i = 0; i < 4; i++)
        timesteps[i] = timestep;
    hds_attention_params params = {
        .predict = { .latents = parity_numbers(c, "latents"),
                     .timesteps = timesteps,
                     .text = parity_numbers(c, "encoder_hidden_states"),
                     .count = (size_t)x->shape[0],
                     .h = (size_t)x->shape[2],
                     .w = (size_t)x->shape[3] },
    };
    assert_in_range(params.predict.count, 1, 4);
    hds_attention *found;
    parity_status(hds_prior_attention(prior, &params, &found, &error), &error);
    assert_int_equal(found->map_count, 16);
    for (size_t i = 0; i < found->map_count; i++) {
        const hds_attention_map *m = &found->maps[i];
        parity_check_numbers(c, m->name, m->weights,
                             params.predict.count * m->rows * m->columns * found->token_count);
    }
    parity_check_numbers(c, "noise_pred", found->noise,
                         params.predict.count * 4 * params.predict.h * params.predict.w);
    hds_attention_destroy(&found);
    hds_prior_unref(prior);
    hds_free(unet);
}
