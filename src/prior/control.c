/* SPDX-License-Identifier: Apache-2.0 */
/* The ControlNets of a prior: loaded beside it, and what they add to its UNet. */
#include "prior_priv.h"

#include <math.h>
#include <string.h>

static const char *const names[PRIOR_CONTROLS] = { "depth", "texture" };

/* It must be a copy of this UNet's way down. */
static hds_status check_fit(const hds_prior *p, const controlnet_config *c, const char *path,
                            hds_error *error)
{
    const unet_config *a = &c->unet, *b = &p->unet;
    bool same = a->levels == b->levels && a->layers == b->layers && a->groups == b->groups &&
                a->in_channels == b->in_channels && a->text_width == b->text_width &&
                a->linear_projection == b->linear_projection && a->eps == b->eps;
    for (int i = 0; same && i < a->levels; i++)
        same = a->channels[i] == b->channels[i] && a->heads[i] == b->heads[i] &&
               a->down_attention[i] == b->down_attention[i];
    if (same)
        return HDS_OK;
    return hds_raise(error, HDS_ERROR_FORMAT,
                     "%s: this ControlNet was made for another UNet than that of %s (%d levels of "
                     "%d and more channels and text of %d numbers, expected %d, %d and %d)",
                     path, p->path, a->levels, a->channels[0], a->text_width, b->levels,
                     b->channels[0], b->text_width);
}

/* A folder with config.json, or a file of the original release, which needs none: it is a copy of
 * the prior's UNet and sees pictures as all of them do. */
static hds_status read_config(const hds_prior *p, controlnet_config *c, const char *path,
                              hds_error *error)
{
    if (!io_exists(path))
        return hds_raise(error, HDS_ERROR_NOT_FOUND,
                         "%s: no such file or folder, expected a ControlNet as diffusers writes it "
                         "or as it was first released",
                         path);
    if (!io_is_folder(path)) {
        controlnet_config_default(c, &p->unet);
        return HDS_OK;
    }
    char *config = io_join(path, "config.json");
    hds_status status = config ? controlnet_config_load(c, config, error)
                               : hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    hds_free(config);
    return status == HDS_OK ? check_fit(p, c, path, error) : status;
}

static hds_status load(hds_prior *p, prior_control *c, const char *path, hds_error *error)
{
    hds_status status = read_config(p, &c->config, path, error);
    if (status != HDS_OK)
        return status;
    if (io_is_folder(path))
        c->weights = prior_part_open(p->cx, path, "diffusion_pytorch_model", NULL);
    else
        c->weights = weights_open(p->cx, path,
                                  &(weights_source){ &path, 1, prior_adopt_control, &c->config },
                                  WEIGHTS_FROZEN);
    if (!tn_failed(p->cx)) {
        weights_set_type(c->weights, p->type);
        weights_fold_scales(c->weights);
        at root = at_root(p->cx, c->weights);
        controlnet_survey(&c->config, &root);
    }
    return tn_check(p->cx, error);
}

hds_status prior_controls_load(hds_prior *p, const hds_prior_params *params, hds_error *error)
{
    const char *const folders[PRIOR_CONTROLS] = { params->depth, params->texture };
    hds_status status = HDS_OK;
    for (int i = 0; i < PRIOR_CONTROLS && status == HDS_OK; i++)
        if (folders[i])
            status = load(p, &p->controls[i], folders[i], error);
    return status;
}

void prior_controls_finish(hds_prior *p)
{
    for (int i = 0; i < PRIOR_CONTROLS; i++)
        weights_destroy(&p->controls[i].weights);
}

/* Which net; -1: there is none of this name. */
static int index_of(const hds_control *control)
{
    for (int i = 0; control->net && i < PRIOR_CONTROLS; i++)
        if (!strcmp(control->net, names[i]))
            return i;
    return -1;
}

hds_status prior_controls_check(const hds_prior *p, const hds_control *controls, size_t count,
                                hds_error *error)
{
    if (count > HDS_MAX_CONTROLS)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "%zu controls, expected at most %d", count,
                         HDS_MAX_CONTROLS);
    for (size_t k = 0; k < count; k++) {
        const hds_control *c = &controls[k];
        int i = index_of(c);
        if (i < 0)
            return hds_raise(error, HDS_ERROR_ARGUMENT,
                             "controls[%zu]: net is \"%.40s\", expected depth or texture", k,
                             c->net ? c->net : "");
        if (!p->controls[i].weights)
            return hds_raise(error, HDS_ERROR_ARGUMENT,
                             "%s: %s was loaded without a ControlNet for it: name its folder when "
                             "the prior is loaded",
                             names[i], p->path);
        if (!c->image)
            return hds_raise(error, HDS_ERROR_ARGUMENT, "%s: its image is missing", names[i]);
        if (!isfinite(c->scale))
            return hds_raise(error, HDS_ERROR_ARGUMENT, "%s_scale is %g, expected a finite number",
                             names[i], (double)c->scale);
    }
    return HDS_OK;
}

const unet_residuals *prior_controls_apply(hds_prior *p, const prior_request *r, int copies,
                                           const tn *latents, const float *timesteps,
                                           const tn *text, unet_residuals *sum)
{
    tn_context *cx = p->cx;
    bool any = false;
    int64_t n = (int64_t)r->count, h = (int64_t)r->h, w = (int64_t)r->w;
    for (size_t k = 0; k < r->control_count; k++) {
        const hds_control *c = &r->controls[k];
        prior_control *net = &p->controls[index_of(c)];
        if (c->scale == 0)
            continue;
        const tn *x = tn_from_f32(cx, c->image, TN_SHAPE(n, PRIOR_FACTOR * h, PRIOR_FACTOR * w, 3));
        x = tn_permute(cx, x, TN_SHAPE(0, 3, 1, 2));
        x = prior_repeat(cx, x, copies);
        at root = at_root(cx, net->weights);
        unet_residuals more;
        controlnet_forward(&net->config, &root, latents, timesteps, copies * n, text, x,
                           (double)c->scale, &more);
        if (any)
            unet_residuals_add(cx, sum, &more);
        else
            *sum = more;
        any = true;
    }
    return any ? sum : NULL;
}
