/* SPDX-License-Identifier: Apache-2.0 */
/* A program that uses headsds as others do, in words that C11 and C++11 have in common: versions,
 * the built-in head and prior, a picture, an error. Prints one line; the exit status is 0 if all
 * of it works. Its argument, if any, is the version that is expected. */
#include <headsds/headsds.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 32 };

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    return EXIT_FAILURE;
}

/* Both are released by the caller, whatever is returned. */
static hds_status make_head(hds_head_model **model, hds_head **head, hds_error *error)
{
    hds_status status = hds_head_model_load(model, NULL, error);
    if (status != HDS_OK)
        return status;
    hds_head_params params;
    memset(&params, 0, sizeof params);
    params.model = *model;
    return hds_head_create(head, &params, error);
}

static int draw(const hds_head *head, int *colours, hds_error *error)
{
    static unsigned char pixels[SIZE * SIZE * 3];
    hds_render_params params;
    memset(&params, 0, sizeof params);
    params.size = SIZE;
    if (hds_head_render(head, &params, pixels, error) != HDS_OK)
        return fail("hds_head_render", error->message);
    *colours = 0;
    for (int i = 3; i < SIZE * SIZE * 3; i += 3)
        *colours += memcmp(pixels + i, pixels + i - 3, 3) != 0;
    return *colours ? EXIT_SUCCESS : fail("hds_head_render", "the picture is of one colour");
}

static int refuse(void)
{
    hds_error error;
    memset(&error, 0, sizeof error);
    hds_head_model *model = NULL;
    hds_head_model_params params;
    memset(&params, 0, sizeof params);
    params.path = "missing.npz";
    hds_status status = hds_head_model_load(&model, &params, &error);
    if (status != HDS_ERROR_NOT_FOUND || error.status != status || model)
        return fail("missing.npz", "was not refused as not found");
    return strstr(error.message, "missing.npz") ? EXIT_SUCCESS : fail("message", error.message);
}

int main(int argc, char **argv)
{
    char version[64];
    snprintf(version, sizeof version, "%d.%d.%d", HEADSDS_VERSION_MAJOR, HEADSDS_VERSION_MINOR,
             HEADSDS_VERSION_PATCH);
    if (strcmp(version, hds_version()) != 0 || (argc > 1 && strcmp(version, argv[1]) != 0))
        return fail("hds_version", hds_version());

    hds_error error;
    memset(&error, 0, sizeof error);
    hds_head_model *model = NULL;
    hds_head *head = NULL;
    hds_prior *prior = NULL;
    int colours = 0, code = EXIT_SUCCESS;
    if (make_head(&model, &head, &error) != HDS_OK)
        code = fail("head", error.message);
    else if (hds_prior_load(&prior, NULL, &error) != HDS_OK)
        code = fail("prior", error.message);
    else
        code = draw(head, &colours, &error);
    hds_prior_unref(prior);
    hds_head_unref(head);
    hds_head_model_unref(model);
    if (code == EXIT_SUCCESS)
        code = refuse();
    if (code == EXIT_SUCCESS)
        printf("headsds %s: a picture with %d edges\n", version, colours);
    return code;
}
