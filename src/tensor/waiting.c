/* SPDX-License-Identifier: Apache-2.0 */
/* How OpenMP's threads wait for each other. By default libgomp's spin for milliseconds before
 * they sleep; where other processes want the same processors, each wait then lasts until the
 * scheduler takes the processor away, and a network of small layers takes many times its share.
 *
 * libgomp reads OMP_WAIT_POLICY once, when it is loaded: where that is with our libtorch, it is set
 * for as long as that takes. Where the host brought it, as few threads are used as
 * have a processor (aten_context.cc). What the user has set stands. */
#include "backend_priv.h"

#include <stdlib.h>

static const char *const libgomp_names[] = { "libgomp.so*", "libgomp-*.so*", NULL };

waiting waiting_enter(void)
{
    waiting w = { 0 };
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT"))
        return w;
    char *libgomp = backend_loaded(libgomp_names);
    if (libgomp)
        w.spinning = true;
    else
        w.set = setenv("OMP_WAIT_POLICY", "passive", 0) == 0;
    free(libgomp);
    return w;
}

void waiting_leave(waiting w)
{
    if (w.set)
        unsetenv("OMP_WAIT_POLICY"); /* programs that the host starts are none of ours */
}
