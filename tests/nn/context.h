/* SPDX-License-Identifier: Apache-2.0 */
/* A tensor context for each test: two threads, and a check that nothing failed. */
#ifndef HDS_TEST_CONTEXT_H
#define HDS_TEST_CONTEXT_H

#include "tensor/tensor.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static inline int begin(void **state)
{
    hds_error error = { 0 };
    tn_context *cx = NULL;
    *state = NULL;
    if (tn_context_create(&cx, 2, &error) != HDS_OK)
        return 1;
    *state = cx;
    return 0;
}

static inline int end(void **state)
{
    tn_context *cx = *state;
    tn_context_destroy(&cx);
    return 0;
}

static void ok(tn_context *cx)
{
    hds_error error = { 0 };
    if (tn_check(cx, &error) != HDS_OK)
        fail_msg("%s", error.message);
}

#endif
