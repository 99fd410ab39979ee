/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of types of numbers without libtorch; in the core and in each backend. */
#include "tensor/tensor.h"

size_t tn_type_size(tn_type type)
{
    return type == TN_FLOAT32 ? 4 : 2;
}

bool tn_has_bfloat16(void)
{
#ifdef __x86_64__
    return __builtin_cpu_supports("avx512bf16");
#else
    return false;
#endif
}
