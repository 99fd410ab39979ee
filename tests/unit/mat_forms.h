/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of MATLAB files share: all forms of them, written by matio. */
#ifndef HDS_TEST_MAT_FORMS_H
#define HDS_TEST_MAT_FORMS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <matio.h>

typedef struct mat_form {
    const char *name; /* of a file */
    enum mat_ft version;
    enum matio_compression packing;
} mat_form;
static const mat_form mat_forms[] = { { "5.mat", MAT_FT_MAT5, MAT_COMPRESSION_NONE },
                                      { "5z.mat", MAT_FT_MAT5, MAT_COMPRESSION_ZLIB },
                                      { "73.mat", MAT_FT_MAT73, MAT_COMPRESSION_NONE },
                                      { "73z.MAT", MAT_FT_MAT73, MAT_COMPRESSION_ZLIB } };
enum { MAT_FORMS = sizeof mat_forms / sizeof *mat_forms };

/* A new file, in place of what was there. */
static inline mat_t *mat_create(const char *path, const mat_form *f)
{
    (void)remove(path);
    mat_t *file = Mat_CreateVer(path, NULL, f->version);
    assert_non_null(file);
    return file;
}

static inline void mat_put(mat_t *file, const mat_form *f, const char *name,
                           enum matio_classes class, enum matio_types type, int rank, size_t *dims,
                           void *data, int flags)
{
    matvar_t *v = Mat_VarCreate(name, class, type, rank, dims, data, flags);
    assert_non_null(v);
    assert_int_equal(Mat_VarWrite(file, v, f->packing), 0);
    Mat_VarFree(v);
}

#endif
