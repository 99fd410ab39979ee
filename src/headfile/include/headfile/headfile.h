/* SPDX-License-Identifier: Apache-2.0 */
/* Head models from files and to files: one reader for each format, and the recognition of which one
 * a path wants (load.c, the public hds_head_model_load). */
#ifndef HDS_HEADFILE_H
#define HDS_HEADFILE_H

#include "head/head.h"

/* The format of our own, headsds .npz (docs/head-format.md). Arrays, C order, little-endian:
 *   name                 ()      S  bytes
 *   vertices             (V,3)   f  metres, y up, face to +z
 *   faces                (F,3)   u4
 *   uvs (T,2) f, uv_faces (F,3) u4                                            optional, both
 *   shape_basis          (S,V,3) f  one standard deviation each
 *   expression_basis     (E,V,3) f,  expression_names (E) S                   optional, both
 *   joints (J,3) f, joint_parents (J) i4, joint_names (J) S,
 *   joint_shape_basis (S,J,3) f, skin_weights (V,J) f                         optional, all
 *   joint_expression_basis (E,J,3) f, pose_basis (9(J-1),V,3) f               optional, with joints
 *   base_pose            (J,3) f                                              optional, with joints
 *   mean_texture         (H,W,3) u1                                           optional
 *   part_names (N) S, face_parts (F) u4                                       optional, both
 *   attribute_names (A) S, attribute_measure (A,S) f, attribute_offset (A) f  optional, all
 * `f` is f2, f4 or f8. A model without joints gets one root joint at the origin. */
/* Also an .npz with the names of FLAME's pickle. */
HDS_NODISCARD hds_status headfile_load_npz(head_model **model, const char *path, hds_error *error);
HDS_NODISCARD hds_status headfile_save_npz(const head_model *model, const char *path,
                                           hds_error *error);
/* An ICT-FaceKit FaceXModel folder: quads are split, centimetres become metres, UV indices are
 * separate; identityNNN become shape components, every other .obj an expression, materials
 * parts. */
HDS_NODISCARD hds_status headfile_load_ict(head_model **model, const char *folder,
                                           hds_error *error);
/* The folder of MakeHuman's data (makehuman.c). */
HDS_NODISCARD hds_status headfile_load_makehuman(head_model **model, const char *folder,
                                                 hds_error *error);
/* FLAME's own pickles (flame.c), without UVs and mean texture. */
HDS_NODISCARD hds_status headfile_load_flame(head_model **model, const char *path,
                                             hds_error *error);
/* A .mat file of HIFI3D or HIFI3D++ (hifi3d.c). */
HDS_NODISCARD hds_status headfile_load_hifi3d(head_model **model, const char *path,
                                              hds_error *error);
/* The pitch of joint 0, radians, by which a FLAME model looks straight ahead (average.c). */
HDS_NODISCARD hds_status headfile_flame_average(const head_model *m, float *pitch,
                                                hds_error *error);
/* Refuses what the kernels assume away: indices out of range, a cyclic tree, non-finite numbers. */
HDS_NODISCARD hds_status headfile_validate(const head_model *model, const char *path,
                                           hds_error *error);

#endif
