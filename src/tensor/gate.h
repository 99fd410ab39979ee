/* SPDX-License-Identifier: Apache-2.0 */
/* a gelu(b) of rows [a, b], in one pass. Shazeer 2020, "GLU variants improve transformer". */
#ifndef HDS_GATE_H
#define HDS_GATE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* x (rows, 2 width) -> out (rows, width) */
void gate_gelu(const float *x, size_t rows, size_t width, float *out);

#ifdef __cplusplus
}
#endif

#endif
