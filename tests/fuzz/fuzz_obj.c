/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_model.h"

#include "headfile/headfile_priv.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    headfile_obj all, positions;
    hds_error error = { 0 };
    fuzz_input = data;
    fuzz_size = size;
    hds_status status = headfile_obj_read(&all, "input.obj", HEADFILE_OBJ_ALL, &error);
    fuzz_check(status, &error, "input.obj");
    if (status)
        return 0;
    fuzz_check_faces(all.faces, all.face_count, all.vertex_count);
    if (all.uv_faces)
        fuzz_check_faces(all.uv_faces, all.face_count, all.uv_count);
    for (size_t i = 0; i < 2 * all.uv_count; i++)
        if (!isfinite(all.uvs[i]))
            abort();
    for (size_t i = 0; i < 3 * all.vertex_count; i++)
        if (!isfinite((float)all.vertices[i]))
            abort();
    /* positions alone are the same */
    if (headfile_obj_read(&positions, "input.obj", HEADFILE_OBJ_POSITIONS, &error) ||
        positions.vertex_count != all.vertex_count || positions.face_count ||
        memcmp(positions.vertices, all.vertices, 3 * all.vertex_count * sizeof *all.vertices) != 0)
        abort();
    headfile_obj_finish(&positions);
    headfile_obj_finish(&all);
    fuzz_loaded++;
    return 0;
}
