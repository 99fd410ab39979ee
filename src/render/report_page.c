/* SPDX-License-Identifier: Apache-2.0 */
/* The page of a report: text that grows, escaping, base64, and the style sheet. */
#include "report_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Room for `more` bytes at the end, or NULL. */
static char *grow(render_page *page, size_t more)
{
    if (page->failed)
        return NULL;
    if (more > page->room - page->size) {
        size_t room = 2 * page->room + more + 4096;
        char *bytes = hds_alloc(room, 1);
        page->failed = !bytes;
        if (!bytes)
            return NULL;
        if (page->size)
            memcpy(bytes, page->bytes, page->size);
        hds_free(page->bytes);
        page->bytes = bytes;
        page->room = room;
    }
    return page->bytes + page->size;
}

static void put(render_page *page, const char *bytes, size_t size)
{
    char *end = grow(page, size);
    if (!end)
        return;
    memcpy(end, bytes, size);
    page->size += size;
}

void render_page_finish(render_page *page)
{
    hds_free(page->bytes);
    *page = (render_page){ 0 };
}

void render_html(render_page *page, const char *html)
{
    put(page, html, strlen(html));
}

void render_format(render_page *page, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (size < 0 || (size_t)size >= sizeof text)
        page->failed = true;
    else
        put(page, text, (size_t)size);
}

static const char *escape_of(unsigned char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return (c < ' ' && c != '\n' && c != '\t') || c == 0x7f ? "\xef\xbf\xbd" : NULL;
    }
}

/* U+0080 to U+009F, which HTML does not allow. */
static bool is_control(const char *text, size_t length)
{
    return length == 2 && (unsigned char)text[0] == 0xc2 && (unsigned char)text[1] < 0xa0;
}

void render_text(render_page *page, const char *text)
{
    while (*text) {
        size_t length = hds_utf8_length(text);
        const char *escape = length ? escape_of((unsigned char)*text) : "\xef\xbf\xbd";
        if (is_control(text, length))
            escape = "\xef\xbf\xbd";
        if (escape)
            render_html(page, escape);
        else
            put(page, text, length);
        text += length ? length : 1;
    }
}

void render_base64(render_page *page, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = (size + 2) / 3 * 4;
    char *out = grow(page, length);
    if (!out)
        return;
    for (size_t i = 0; i < size; i += 3, out += 4) {
        size_t left = size - i;
        uint32_t three = (uint32_t)bytes[i] << 16;
        three |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        three |= left > 2 ? bytes[i + 2] : 0;
        out[0] = digits[three >> 18];
        out[1] = digits[three >> 12 & 63];
        out[2] = left > 1 ? digits[three >> 6 & 63] : '=';
        out[3] = left > 2 ? digits[three & 63] : '=';
    }
    page->size += length;
}

/* ---- frame and style ---- */

static const char style_page[] =
    ":root{color-scheme:light dark;--paper:#fff;--ink:#1b1e22;--soft:#636b74;--line:#dfe2e6;"
    "--wash:#f5f6f8;--accent:#2361c4}\n"
    "@media (prefers-color-scheme:dark){:root{--paper:#14161a;--ink:#e4e7ea;--soft:#98a0a9;"
    "--line:#2b3037;--wash:#1b1e23;--accent:#7eabff}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--paper);color:var(--ink);"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif}\n"
    "main{max-width:1120px;margin:0 auto;padding:40px 24px 64px}\n"
    "h1{font-size:30px;line-height:1.25;font-weight:650;margin:0 0 20px;white-space:pre-wrap;"
    "overflow-wrap:anywhere}\n"
    "h2{font-size:18px;font-weight:650;margin:44px 0 14px;padding-top:14px;"
    "border-top:1px solid var(--line)}\n"
    "h3{font-size:15px;font-weight:600;margin:20px 0 8px}\n"
    "p{margin:0 0 12px}\n"
    ".kicker{font-size:13px;letter-spacing:.06em;color:var(--soft);margin:0 0 6px}\n"
    ".soft,figcaption{color:var(--soft)}\n"
    ".facts{display:flex;flex-wrap:wrap;gap:12px 36px;margin:0}\n"
    ".facts dt{font-size:13px;color:var(--soft)}\n"
    ".facts dd{margin:0;overflow-wrap:anywhere}\n";
static const char style_parts[] =
    "figure{margin:0}\n"
    "figcaption{font-size:13px;margin-top:4px;overflow-wrap:anywhere}\n"
    "img{display:block;max-width:100%;height:auto;border-radius:6px;background:var(--wash)}\n"
    ".strip{display:grid;grid-template-columns:repeat(auto-fill,minmax(120px,1fr));gap:12px}\n"
    ".strip img{width:100%}\n"
    ".turn{display:grid;grid-template-columns:repeat(8,1fr);gap:8px;margin-bottom:12px}\n"
    ".turn figcaption{text-align:center}\n"
    ".texture{max-width:512px}\n"
    ".curves{display:grid;grid-template-columns:repeat(2,1fr);gap:28px 32px;margin-bottom:24px}\n"
    ".curves figcaption{margin:0 0 4px}\n"
    ".curves b{color:var(--ink);font-size:15px;font-weight:600}\n"
    "svg{display:block;width:100%;height:auto;font-size:11px}\n"
    "svg text{fill:var(--soft)}\n"
    "svg .grid{stroke:var(--line)}\n"
    "svg .border{stroke:var(--soft);stroke-dasharray:3 3}\n"
    "svg .stage{fill:var(--ink)}\n"
    "svg path{fill:none;stroke:var(--accent);stroke-width:1.8;stroke-linejoin:round;"
    "stroke-linecap:round}\n"
    "svg .behind{stroke-width:1;opacity:.35}\n";
static const char style_tables[] =
    ".wide{overflow-x:auto;margin-bottom:12px}\n"
    "table{border-collapse:collapse;font-size:14px}\n"
    "th,td{text-align:left;vertical-align:top;padding:5px 20px 5px 0;"
    "border-bottom:1px solid var(--line);font-weight:400}\n"
    "td{white-space:pre-wrap;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}\n"
    "thead th{color:var(--soft);font-size:13px;white-space:nowrap}\n"
    "tbody th{color:var(--soft);white-space:nowrap}\n"
    "td table tr:last-child>*{border-bottom:0}\n"
    "td table tr:first-child>*{padding-top:0}\n"
    ".number{text-align:right}\n"
    "table.full{width:100%}\n"
    "code,.hash{font:13px/1.5 ui-monospace,SFMono-Regular,Consolas,'DejaVu Sans Mono',monospace}\n"
    "pre{font-size:13px;white-space:pre-wrap;overflow-wrap:anywhere;background:var(--wash);"
    "padding:12px;border-radius:6px}\n"
    ".bar{width:38%;min-width:90px}\n"
    ".bar span{display:block;height:10px;margin-top:6px;border-radius:3px;min-width:1px;"
    "background:var(--accent);print-color-adjust:exact;-webkit-print-color-adjust:exact}\n"
    "@media (max-width:760px){.curves{grid-template-columns:1fr}"
    ".turn{grid-template-columns:repeat(4,1fr)}main{padding:24px 16px}}\n"
    "@media print{:root{--paper:#fff;--ink:#000;--soft:#555;--line:#ccc;--wash:#f5f6f8;"
    "--accent:#2361c4}main{max-width:none;padding:0}body{font-size:12px}"
    ".wide{overflow:visible}figure,tr{break-inside:avoid}h2,h3{break-after:avoid}}\n";

void render_page_begin(render_page *page, const char *title)
{
    render_html(page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                      "img-src data:; style-src 'unsafe-inline'\">\n<title>");
    render_text(page, title);
    render_html(page, "</title>\n<style>\n");
    render_html(page, style_page);
    render_html(page, style_parts);
    render_html(page, style_tables);
    render_html(page, "</style>\n</head>\n<body>\n<main>\n");
}

void render_page_end(render_page *page)
{
    render_html(page, "</main>\n</body>\n</html>\n");
}
