// SPDX-License-Identifier: Apache-2.0
// The one symbol of a backend: the table of its functions. They bear the names of tensor.h, and the
// version script keeps these within this file.
#include "aten_priv.h"

#include <type_traits>

static_assert(std::is_standard_layout<tn_context>::value, "the core reads the table of a context");

static const char note[] = TN_NOTE_START
    "abi=" TN_TEXT(TN_BACKEND_ABI) "\ntorch=" HDS_TORCH_VERSION "\nlibrary=" HDS_TORCH_LIBRARY "\n";

#define VALUE(type, name, parameters, arguments) tn_##name,
#define WAY(name, parameters, arguments) tn_##name,

extern "C" __attribute__((visibility("default"))) const tn_backend headsds_backend = {
    TN_BACKEND_ABI,    sizeof(tn_backend), note,
    tn_context_create, tn_context_destroy, aten_fail,
    tn_has_cuda,       aten_threads_spin,  TN_OPERATIONS(VALUE, WAY)
};
