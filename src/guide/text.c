/* SPDX-License-Identifier: Apache-2.0 */
/* View-dependent prompts and their text embeddings. */
#include "guide/guide.h"

#include <math.h>
#include <string.h>

static hds_status encode(guide_text *text, hds_prior *prior,
                         const char *const texts[2 * GUIDE_SIDES], hds_error *error)
{
    hds_prior_info info;
    hds_prior_get_info(prior, &info);
    size_t chunks;
    hds_status status = hds_prior_count_chunks(prior, texts, 2 * GUIDE_SIDES, &chunks, error);
    if (status != HDS_OK)
        return status;
    *text = (guide_text){ .tokens = chunks * HDS_TOKENS };
    text->states = text->tokens * (size_t)info.text_width;
    text->sides = hds_alloc(2 * GUIDE_SIDES * text->states, sizeof(float));
    if (!text->sides)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the prompt's states");
    text->negatives = text->sides + GUIDE_SIDES * text->states;
    status = hds_prior_encode_texts(prior, texts, 2 * GUIDE_SIDES, chunks, text->sides, error);
    if (status != HDS_OK)
        guide_text_finish(text);
    return status;
}

/* The prompt as captions say it of that side; new. */
static char *said_of(guide_side side, const hds_prior_info *info, const char *prompt)
{
    static const char *const views[] = { "front view", "side view", "back view" };
    const char *prefix = info->texture_map_prefix ? info->texture_map_prefix : "";
    return side == GUIDE_MAP ? hds_format("%s%s", prefix, prompt)
                             : hds_format("%s, %s", prompt, views[side]);
}

hds_status guide_text_init(guide_text *text, hds_prior *prior, const char *prompt,
                           const char *negative, hds_error *error)
{
    hds_prior_info info;
    hds_prior_get_info(prior, &info);
    const char *null = negative ? negative : info.neutral_prompt ? NULL : "";
    char *texts[2 * GUIDE_SIDES];
    bool complete = true;
    for (guide_side i = 0; i < GUIDE_SIDES; i++) {
        texts[i] = said_of(i, &info, prompt);
        texts[GUIDE_SIDES + i] = null ? hds_strdup(null) : said_of(i, &info, info.neutral_prompt);
        complete = complete && texts[i] && texts[GUIDE_SIDES + i];
    }
    hds_status status = complete ? encode(text, prior, (const char *const *)texts, error)
                                 : hds_raise(error, HDS_ERROR_MEMORY, "out of memory for prompts");
    for (int i = 0; i < 2 * GUIDE_SIDES; i++)
        hds_free(texts[i]);
    return status;
}

void guide_text_finish(guide_text *text)
{
    hds_free(text->sides);
    *text = (guide_text){ 0 };
}

guide_side guide_side_of(float azimuth)
{
    float a = fabsf(remainderf(azimuth, 360));
    return a <= 45 ? GUIDE_FRONT : a > 135 ? GUIDE_BACK : GUIDE_SIDE;
}
