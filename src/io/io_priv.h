/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share: errors of the system, writing in pieces, .npy headers. */
#ifndef HDS_IO_PRIV_H
#define HDS_IO_PRIV_H

#include "io/io.h"

#include <sys/uio.h>

/* Reports errno value `code`, met while `doing` ("open", "write") something to `path`. */
HDS_NODISCARD hds_status io_raise_errno(hds_error *error, const char *path, const char *doing,
                                        int code);
/* io_write_atomic of several pieces in a row. */
HDS_NODISCARD hds_status io_write_pieces(const char *path, const struct iovec *pieces, size_t count,
                                         hds_error *error);
/* Product of shape and itemsize, or false when it overflows or a dimension is negative. */
bool io_shape_bytes(const int64_t *shape, int dims, size_t itemsize, size_t *bytes);

/* One .npy member: bytes -> array (name is left alone; data is new). `where` is "path: member". */
HDS_NODISCARD hds_status io_npy_parse(io_array *array, const unsigned char *bytes, size_t size,
                                      const char *where, hds_error *error);
/* The header of a version 1.0 .npy file; returns its length, a multiple of 64, or 0: no room or
 * an array that the format has no word for. */
size_t io_npy_header(const io_array *array, char *text, size_t room);

#endif
