/* SPDX-License-Identifier: Apache-2.0 */
/* How many threads headsds works on. Results do not depend on it. */
#ifndef HEADSDS_THREADS_H
#define HEADSDS_THREADS_H

#include "headsds/error.h"

#ifdef __cplusplus
extern "C" {
#endif

HDS_API int hds_thread_count(void);
/* For what starts after the call; 0: as many as there are processors that this process may use. */
HDS_API void hds_set_thread_count(int count);

#ifdef __cplusplus
}
#endif

#endif
