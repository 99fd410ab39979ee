/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the report share: a page of HTML that grows, and the parts that fill it. */
#ifndef HDS_RENDER_REPORT_PRIV_H
#define HDS_RENDER_REPORT_PRIV_H

#include "base/base.h"
#include "headsds/head.h"

#include <jansson.h>

/* ---- report_page.c ---- */

/* Text that grows. Once memory is short, `failed` stays and nothing more is added. */
typedef struct render_page {
    char *bytes; /* not terminated */
    size_t size, room;
    bool failed;
} render_page;
void render_page_finish(render_page *page);
/* From the doctype to the start of the body. */
void render_page_begin(render_page *page, const char *title);
void render_page_end(render_page *page);

void render_html(render_page *page, const char *html); /* as it is */
/* As it is too: for numbers and constants, never for text from outside. */
void render_format(render_page *page, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Any bytes: markup is escaped, what is no UTF-8 or no character of HTML becomes U+FFFD. */
void render_text(render_page *page, const char *text);
void render_base64(render_page *page, const uint8_t *bytes, size_t size);

/* ---- report_record.c ---- */

/* Any JSON as nested tables. */
void render_json(render_page *page, const json_t *value);
/* An object of objects as one table: a column each, rows are the paths of what is in them. */
void render_json_columns(render_page *page, const json_t *columns);
/* A row for each hash in it, wherever it lies. */
void render_json_hashes(render_page *page, const json_t *value);

/* ---- report_curves.c ---- */

/* Charts of the history over its steps, and a table of its stages. */
void render_curves(render_page *page, const hds_history *history, size_t count);

#endif
