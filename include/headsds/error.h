/* SPDX-License-Identifier: Apache-2.0 */
/* How every public call reports: a status, and a message that names the file, the place and the
 * cure. */
#ifndef HEADSDS_ERROR_H
#define HEADSDS_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HDS_NODISCARD __attribute__((warn_unused_result))
#define HDS_API __attribute__((visibility("default")))
#else
#define HDS_NODISCARD
#define HDS_API
#endif

typedef enum hds_status {
    HDS_OK = 0,
    HDS_ERROR_ARGUMENT,  /* a value that the caller passed is out of its range */
    HDS_ERROR_NOT_FOUND, /* a file or folder is not there */
    HDS_ERROR_OS,        /* the system refused: permission, disk full, ... */
    HDS_ERROR_FORMAT,    /* a file is not what it says it is */
    HDS_ERROR_MEMORY,
    HDS_ERROR_CANCELLED,
    HDS_ERROR_INTERNAL
} hds_status;

/* Filled by a failing call; the first error wins, later ones are dropped until it is cleared.
 * Zero-initialise it: `hds_error error = {0};`. Every call accepts NULL in its place. */
typedef struct hds_error {
    hds_status status;
    char message[1024]; /* UTF-8, one line, no trailing newline */
} hds_error;

#ifdef __cplusplus
}
#endif

#endif
