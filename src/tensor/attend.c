/* SPDX-License-Identifier: Apache-2.0 */
/* Attention in blocks of queries and keys that stay in the second-level cache, with a running
 * maximum and sum for each query: Dao et al. 2022, "FlashAttention", algorithm 1.
 *
 * Keys and values are packed once in panels of PANEL columns, zeros beyond the last: keys as
 * (panel of keys, channel, PANEL), values as (panel of channels, key, PANEL). Both products are
 * then the same small one, ROWS x PANEL numbers at a time in registers. */
#include "attend.h"
#include "lanes.h"

#include <string.h>

enum { PANEL = 2 * LANES, ROWS = 6, QUERIES = 16 * ROWS, KEYS = 16 * PANEL };

static const float masked = -1e30f; /* a score whose exponential is nothing beside any other */

static size_t panels(size_t count)
{
    return (count + PANEL - 1) / PANEL;
}

static size_t key_room(const attend_job *j) /* of a head, in numbers */
{
    return panels(j->keys) * PANEL * j->width;
}

static size_t value_room(const attend_job *j)
{
    return panels(j->width) * PANEL * panels(j->keys) * PANEL;
}

size_t attend_packed_size(const attend_job *j)
{
    return attend_heads(j) * (key_room(j) + value_room(j));
}

size_t attend_scratch_size(const attend_job *j)
{
    return QUERIES * (j->width + KEYS + panels(j->width) * PANEL + 2);
}

size_t attend_heads(const attend_job *j)
{
    return j->batch * j->heads;
}

static size_t blocks_of_head(const attend_job *j)
{
    return (j->queries + QUERIES - 1) / QUERIES;
}

size_t attend_blocks(const attend_job *j)
{
    return attend_heads(j) * blocks_of_head(j);
}

void attend_pack(const attend_job *j, size_t head)
{
    size_t width = j->width, row = j->heads * width, rounded = panels(j->keys) * PANEL;
    size_t from = head / j->heads * j->keys * row + head % j->heads * width;
    float *k = j->packed + head * (key_room(j) + value_room(j)), *v = k + key_room(j);
    memset(k, 0, (key_room(j) + value_room(j)) * sizeof *k);
    for (size_t i = 0; i < j->keys; i++, from += row) {
        float *column = k + i / PANEL * PANEL * width + i % PANEL;
        for (size_t c = 0; c < width; c++)
            column[c * PANEL] = j->k[from + c];
        for (size_t c = 0; c < width; c += PANEL)
            memcpy(v + (c * rounded + i * PANEL), j->v + from + c,
                   (width - c < PANEL ? width - c : PANEL) * sizeof *v);
    }
}

/* c (ROWS,8 vecs) = a (ROWS,n) b (n,PANEL), or c += it; vecs is 1 or 2, a constant at the call. */
INLINE void multiply(const float *a, size_t a_row, size_t n, const float *b, int vecs, float *c,
                     size_t c_row, bool add)
{
    vec sum[ROWS][2];
    for (int r = 0; r < ROWS; r++)
        for (int s = 0; s < vecs; s++)
            sum[r][s] = add ? *(vec *)(c + (size_t)r * c_row + s * LANES) : (vec){ 0 };
    for (size_t i = 0; i < n; i++, b += PANEL)
        for (int r = 0; r < ROWS; r++)
            for (int s = 0; s < vecs; s++)
                sum[r][s] += a[(size_t)r * a_row + i] * *(const vec *)(b + s * LANES);
    for (int r = 0; r < ROWS; r++)
        for (int s = 0; s < vecs; s++)
            *(vec *)(c + (size_t)r * c_row + s * LANES) = sum[r][s];
}

/* The scores of a row become exp(score - greatest so far). Returns what the earlier sums and
 * products of this row are to be multiplied by. */
INLINE float soften(float *score, size_t count, float *greatest, float *sum)
{
    vec most = (vec){ 0 } + *greatest;
    for (size_t i = 0; i < count; i += LANES) {
        vec s = *(vec *)(score + i);
        ivec more = s > most;
        lanes_choose(&more, &s, &most, &most);
    }
    float top = most[0];
    for (int l = 1; l < LANES; l++)
        top = most[l] > top ? most[l] : top;
    vec keep = (vec){ 0 } + (*greatest - top), total = { 0 };
    lanes_exp(&keep);
    for (size_t i = 0; i < count; i += LANES) {
        vec e = *(vec *)(score + i) - top;
        lanes_exp(&e);
        *(vec *)(score + i) = e;
        total += e;
    }
    *greatest = top;
    *sum *= keep[0];
    for (int l = 0; l < LANES; l++)
        *sum += total[l];
    return keep[0];
}

/* Scores that do not count: beyond the last key, and, when causal, after the query. */
static void mask(const attend_job *j, float *scores, size_t first_query, size_t rows,
                 size_t first_key, size_t keys)
{
    for (size_t r = 0; r < rows; r++) {
        size_t seen = j->causal && first_query + r + 1 < j->keys ? first_query + r + 1 : j->keys;
        for (size_t i = seen > first_key ? seen - first_key : 0; i < keys; i++)
            scores[r * KEYS + i] = masked;
    }
}

SIMD_VARIANTS(void, attend_block, (const attend_job *j, size_t block, float *scratch),
              (j, block, scratch))
{
    size_t width = j->width, row = j->heads * width, head = block / blocks_of_head(j);
    size_t first = block % blocks_of_head(j) * QUERIES, channels = panels(width) * PANEL;
    size_t count = j->queries - first < QUERIES ? j->queries - first : QUERIES;
    size_t rows = (count + ROWS - 1) / ROWS * ROWS, rounded = panels(j->keys) * PANEL;
    size_t at = (head / j->heads * j->queries + first) * row + head % j->heads * width;
    const float *k = j->packed + head * (key_room(j) + value_room(j)), *v = k + key_room(j);
    float *q = scratch, *scores = q + QUERIES * width, *out = scores + QUERIES * KEYS;
    float *greatest = out + QUERIES * channels, *sum = greatest + QUERIES;

    memset(out, 0, rows * channels * sizeof *out);
    for (size_t r = 0; r < rows; r++) {
        greatest[r] = masked;
        sum[r] = 0;
        for (size_t c = 0; c < width; c++)
            q[r * width + c] = r < count ? j->q[at + r * row + c] * j->scale : 0;
    }
    for (size_t i = 0; i < rounded && (!j->causal || i < first + count); i += KEYS) {
        size_t keys = rounded - i < KEYS ? rounded - i : KEYS;
        for (size_t p = 0; p < keys; p += PANEL)
            for (size_t r = 0; r < rows; r += ROWS)
                multiply(q + r * width, width, width, k + (i + p) * width, 2, scores + r * KEYS + p,
                         KEYS, false);
        if (j->causal || i + keys > j->keys)
            mask(j, scores, first, rows, i, keys);
        for (size_t r = 0; r < rows; r++) {
            float keep = soften(scores + r * KEYS, keys, &greatest[r], &sum[r]);
            for (size_t c = 0; c < channels; c += LANES)
                *(vec *)(out + r * channels + c) *= keep;
        }
        for (size_t c = 0; c < width; c += PANEL)
            for (size_t r = 0; r < rows; r += ROWS) {
                const float *values = v + c * rounded + i * PANEL;
                float *to = out + r * channels + c;
                if (width - c > LANES)
                    multiply(scores + r * KEYS, KEYS, keys, values, 2, to, channels, true);
                else
                    multiply(scores + r * KEYS, KEYS, keys, values, 1, to, channels, true);
            }
    }
    for (size_t r = 0; r < count; r++)
        for (size_t c = 0; c < width; c++)
            j->out[at + r * row + c] = out[r * channels + c] / sum[r];
}
