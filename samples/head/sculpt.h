/* SPDX-License-Identifier: Apache-2.0 */
/* The parametric sculpt behind the sample head: a neutral human head on a fixed topology, and the
 * ways in which heads differ, as displacement fields.
 *
 *   vertices = neutral + sum_a attribute_a A_a + sum_m minor_m M_m                        (V,3)
 *
 * Attributes and minor variations are in population standard deviations, drawn from N(0,1) and
 * clipped at 2.5. Metres, y up, face to +z, own left = +x, origin near the head's centre. The skin
 * is a grid of rows from the crown down and columns around the head, slit at lids and lips; the
 * eyeballs are spheres of their own. Everything is symmetric in x = 0 but for a few minor fields.
 */
#ifndef SCULPT_H
#define SCULPT_H

#include <stddef.h>
#include <stdint.h>

enum { SCULPT_ATTRIBUTES = 18, SCULPT_MINOR = 42, SCULPT_EXPRESSIONS = 17, SCULPT_JOINTS = 5 };

/* ---- Topology (sculpt_grid.c) ---- */

enum { SCULPT_SKIN = 0, SCULPT_EYEBALL_LEFT = 1, SCULPT_EYEBALL_RIGHT = 2 };

typedef struct sculpt_topology {
    size_t vertex_count, face_count, uv_count;
    const uint32_t *faces;    /* (F,3) counter-clockwise outside */
    const float *uvs;         /* (T,2) v up; symmetric in u = 0.5 */
    const uint32_t *uv_faces; /* (F,3) */
    const uint8_t *regions;   /* (V) SCULPT_SKIN, ... */
    const uint32_t *mirror;   /* (V) the vertex on the other side */
    const float *rows;        /* (V) grid row, 0 at the crown; -1 on eyeballs */
    const float *columns;     /* (V) grid column, 0 at the front, positive on the own left */
} sculpt_topology;
const sculpt_topology *sculpt_get_topology(void); /* borrowed, for ever */

/* Named vertices; those of a pair are on the own left, mirror[] gives the right one. */
typedef enum sculpt_landmark {
    SCULPT_CROWN,
    SCULPT_HAIRLINE,
    SCULPT_GLABELLA,
    SCULPT_NASION,
    SCULPT_NOSE_BRIDGE,
    SCULPT_NOSE_TIP,
    SCULPT_SUBNASALE,
    SCULPT_ALA,
    SCULPT_UPPER_LIP_TOP,
    SCULPT_UPPER_LIP,
    SCULPT_LOWER_LIP,
    SCULPT_LOWER_LIP_BOTTOM,
    SCULPT_MOUTH_CORNER,
    SCULPT_CHIN,
    SCULPT_MENTON,
    SCULPT_JAW_ANGLE,
    SCULPT_CHEEKBONE,
    SCULPT_CHEEK,
    SCULPT_BROW,
    SCULPT_EYE_INNER,
    SCULPT_EYE_OUTER,
    SCULPT_UPPER_LID,
    SCULPT_LOWER_LID,
    SCULPT_PUPIL,
    SCULPT_TRAGUS,
    SCULPT_EAR_TOP,
    SCULPT_EAR_RIM,
    SCULPT_EAR_LOBE,
    SCULPT_NECK_SIDE,
    SCULPT_THROAT,
    SCULPT_OCCIPUT,
    SCULPT_LANDMARKS
} sculpt_landmark;
extern const char *const sculpt_landmark_names[SCULPT_LANDMARKS];
uint32_t sculpt_landmark_vertex(sculpt_landmark landmark);

/* ---- Shape ---- */

extern const char *const sculpt_attribute_names[SCULPT_ATTRIBUTES];
extern const char *const sculpt_expression_names[SCULPT_EXPRESSIONS];
extern const char *const sculpt_joint_names[SCULPT_JOINTS];
extern const int32_t sculpt_joint_parents[SCULPT_JOINTS];

/* attributes (18), minor (42), each NULL for zeros -> vertices (V,3). Safe from many threads. */
void sculpt_vertices(const float *attributes, const float *minor, float *vertices);
/* displacement (V,3) of the neutral head at weight 1 */
void sculpt_expression(int expression, float *displacement);
/* joints (5,3) of a head with these vertices */
void sculpt_joints(const float *vertices, float *joints);
/* weights (V,5), rows sum to 1 */
void sculpt_skin_weights(float *weights);

#endif
