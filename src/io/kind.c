/* SPDX-License-Identifier: Apache-2.0 */
/* What a file is, by how it begins, so that a reader can name what it was given instead: formats
 * that lie about where heads and models are kept, and what downloads leave in their place
 * (pointers, web pages, messages of errors, files that were copied as text or cut short). */
#include "io_priv.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    LOOK = 4096,     /* bytes of a text that are looked at */
    LOCAL_SIZE = 30, /* of a zip archive's first header, before the member's name */
    LINES = 8        /* that end in CR LF, before it can be no chance */
};

#define LFS                                                                                        \
    {                                                                                              \
        "a Git LFS pointer to the file", "fetch it with git lfs pull", IO_FORMAT_OTHER             \
    }
#define PAGE                                                                                       \
    {                                                                                              \
        "an HTML page, as sites send for a login or an error",                                     \
            "fetch it again, logged in where the site asks for it", IO_FORMAT_OTHER                \
    }
#define AS_TEXT(what)                                                                              \
    {                                                                                              \
        what " that was copied as text, which damages it", "fetch it again", 0                     \
    }
#define PACKED(what)                                                                               \
    {                                                                                              \
        what, "unpack it and take the file inside", IO_FORMAT_OTHER                                \
    }
#define PLAIN(what)                                                                                \
    {                                                                                              \
        what, NULL, IO_FORMAT_OTHER                                                                \
    }
#define BYTES(text) text, sizeof text - 1

/* Bytes and their place; the first row that fits wins. */
static const struct {
    size_t at;
    const char *bytes;
    size_t size;
    io_kind kind;
} signatures[] = {
    { 0, BYTES("version https://git-lfs"), LFS },
    { 0, BYTES("version http://git-media"), LFS },
    { 0,
      BYTES("# xet version"),
      { "a Xet pointer to the file", "fetch the file itself, with hf download", IO_FORMAT_OTHER } },
    { 0,
      BYTES("/annex/objects/"),
      { "a git-annex pointer to the file", "fetch it with git annex get", IO_FORMAT_OTHER } },
    { 0, BYTES("\xef\xbf\xbd"), AS_TEXT("a binary file") },
    { 0, BYTES("\x93NUMPY"), PLAIN("a NumPy .npy array") },
    { 0, BYTES("\x89PNG\r\n\x1a\n"), { "a PNG picture", NULL, IO_FORMAT_PNG } },
    { 0, BYTES("\x89PNG"), AS_TEXT("a PNG picture") },
    { 0, BYTES("\xff\xd8\xff"), PLAIN("a JPEG picture") },
    { 0, BYTES("GIF8"), PLAIN("a GIF picture") },
    { 0, BYTES("II*\0"), PLAIN("a TIFF picture") },
    { 0, BYTES("MM\0*"), PLAIN("a TIFF picture") },
    { 8, BYTES("WEBP"), PLAIN("a WebP picture") },
    { 0, BYTES("\x76\x2f\x31\x01"), PLAIN("an OpenEXR picture") },
    { 0, BYTES("#?RADIANCE"), PLAIN("a Radiance HDR picture") },
    { 0, BYTES("8BPS"), PLAIN("a Photoshop file") },
    { 0, BYTES("DDS "), PLAIN("a DDS texture") },
    { 4, BYTES("ftypavif"), PLAIN("an AVIF picture") },
    { 4, BYTES("ftyphei"), PLAIN("a HEIC picture") },
    { 4, BYTES("ftyp"), PLAIN("an MP4 video") },
    { 0, BYTES("glTF"), PLAIN("a glTF file") },
    { 0, BYTES("Kaydara FBX Binary"), PLAIN("an FBX file") },
    { 0, BYTES("; FBX"), PLAIN("an FBX file") },
    { 0, BYTES("BLENDER"), PLAIN("a .blend file") },
    { 0, BYTES("PXR-USDC"), PLAIN("a USD file") },
    { 0, BYTES("#usda"), PLAIN("a USD file") },
    { 0, BYTES("Ogawa"), PLAIN("an Alembic file") },
    { 0, BYTES("//Maya"), PLAIN("a Maya scene") },
    { 0, BYTES("FOR4"), PLAIN("a Maya scene") },
    { 0, BYTES("FOR8"), PLAIN("a Maya scene") },
    { 0, BYTES("ply\n"), PLAIN("a PLY mesh") },
    { 0, BYTES("ply\r"), PLAIN("a PLY mesh") },
    { 0, BYTES("solid "), PLAIN("an STL mesh") },
    { 0, BYTES("MATLAB 5.0 MAT-file"), { "a MATLAB file", NULL, IO_FORMAT_MAT } },
    { 0, BYTES("MATLAB 7.3 MAT-file"), { "a MATLAB file", NULL, IO_FORMAT_MAT } },
    { 0, BYTES("\x89HDF\r\n\x1a\n"), PLAIN("an HDF5 file") },
    { 512, BYTES("\x89HDF\r\n\x1a\n"), PLAIN("an HDF5 file") },
    { 0, BYTES("\x89HDF"), AS_TEXT("an HDF5 file") },
    { 0, BYTES("GGUF"), PLAIN("a GGUF model") },
    { 0, BYTES("SQLite format 3"), PLAIN("an SQLite database") },
    { 0, BYTES("%PDF-"), PLAIN("a PDF document") },
    { 0, BYTES("\x7f\x45LF"), PLAIN("a program") },
    { 0, BYTES("PK\5\6"), PLAIN("an empty zip archive") },
    { 0, BYTES("\x1f\x8b"), PACKED("a gzip file") },
    { 0, BYTES("BZh"), PACKED("a bzip2 file") },
    { 0, BYTES("\xfd\x37zXZ"), PACKED("an xz file") },
    { 0, BYTES("\x28\xb5\x2f\xfd"), PACKED("a Zstandard file") },
    { 0, BYTES("7z\xbc\xaf\x27\x1c"), PACKED("a 7z archive") },
    { 0, BYTES("Rar!\x1a\x07"), PACKED("a RAR archive") },
    { 257, BYTES("ustar"), PACKED("a tar archive") },
    { 0, BYTES("\xff\xfe"), { "a UTF-16 text", "save it as UTF-8", IO_FORMAT_OTHER } },
    { 0, BYTES("\xfe\xff"), { "a UTF-16 text", "save it as UTF-8", IO_FORMAT_OTHER } },
};

/* What a text begins with, in any case, behind a byte order mark, blanks and lines of "#", if its
 * first pages hold the second word too. */
static const struct {
    const char *word, *within;
    io_kind kind;
} texts[] = {
    { "<!doctype html", "", PAGE },
    { "<html", "", PAGE },
    { "<head", "", PAGE },
    { "<body", "", PAGE },
    { "<script", "", PAGE },
    { "<!--", "<html", PAGE },
    { "<?xml", "<html", PAGE },
    { "<?xml", "<COLLADA", PLAIN("a Collada file") },
    { "<?xml", "<svg", PLAIN("an SVG picture") },
    { "<?xml", "", PLAIN("an XML file") },
    { "<svg", "", PLAIN("an SVG picture") },
    { "{", "\"asset\"", PLAIN("a glTF file") },
    { "{", "\"", { "a JSON file", NULL, IO_FORMAT_JSON } },
    { "mtllib ", "", { "a Wavefront OBJ mesh", NULL, IO_FORMAT_OBJ } },
    { "v ", "", { "a Wavefront OBJ mesh", NULL, IO_FORMAT_OBJ } },
    { "o ", "", { "a Wavefront OBJ mesh", NULL, IO_FORMAT_OBJ } },
    { "g ", "", { "a Wavefront OBJ mesh", NULL, IO_FORMAT_OBJ } },
    { "newmtl ", "", PLAIN("a Wavefront material file") },
};

/* An archive, by the name of its first member. */
static io_kind kind_of_zip(const unsigned char *bytes, size_t size)
{
    static const struct {
        const char *ending;
        io_kind kind;
    } members[] = {
        { "format.npy", { "a head saved as .headsds", NULL, IO_FORMAT_NPZ } },
        { ".npy", { "an .npz file", NULL, IO_FORMAT_NPZ } },
        { "data.pkl", { "a torch checkpoint", NULL, IO_FORMAT_TORCH } },
        { "", { "a zip archive", "unpack it and take the file inside", IO_FORMAT_ZIP } },
    };
    size_t length = size < LOCAL_SIZE ? 0 : io_little(bytes + 26, 2), i = 0;
    if (length > size - LOCAL_SIZE)
        length = 0;
    for (;; i++) {
        size_t tail = strlen(members[i].ending);
        if (length >= tail && !memcmp(bytes + LOCAL_SIZE + length - tail, members[i].ending, tail))
            return members[i].kind;
    }
}

static size_t skip_to_words(const unsigned char *bytes, size_t size)
{
    size_t at = size >= 3 && !memcmp(bytes, "\xef\xbb\xbf", 3) ? 3 : 0;
    for (bool comment = false; at < size; at++) {
        comment = bytes[at] == '#' || (comment && bytes[at] != '\n' && bytes[at] != '\r');
        if (!comment && !isspace(bytes[at]))
            break;
    }
    return at;
}

static io_kind kind_of_text(const unsigned char *bytes, size_t size)
{
    size_t at = skip_to_words(bytes, size), left = size - at < LOOK ? size - at : LOOK;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t length = strlen(texts[i].word);
        if (left >= length && !strncasecmp((const char *)bytes + at, texts[i].word, length) &&
            memmem(bytes + at, left, texts[i].within, strlen(texts[i].within)))
            return texts[i].kind;
    }
    return (io_kind){ 0 };
}

/* safetensors have no signature: the length of their header, then its brace. */
static bool is_safetensors(const unsigned char *bytes, size_t size)
{
    return size > 9 && bytes[8] == '{' && io_little(bytes, 8) < (uint64_t)1 << 32;
}

io_kind io_kind_of(const void *start, size_t size)
{
    static const char legacy[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    static const io_kind zeros = { "nothing but zero bytes",
                                   "it was not written to its end: fetch "
                                   "it again",
                                   IO_FORMAT_OTHER };
    const unsigned char *bytes = start;
    if (!size)
        return (io_kind){ "empty", "fetch it again", IO_FORMAT_OTHER };
    if (is_safetensors(bytes, size))
        return (io_kind){ "a safetensors file", NULL, IO_FORMAT_SAFETENSORS };
    if (size > 4 && !memcmp(bytes, "PK\3\4", 4))
        return kind_of_zip(bytes, size);
    if (size > sizeof legacy && !memcmp(bytes, legacy, sizeof legacy - 1))
        return (io_kind){ "a torch checkpoint", NULL, IO_FORMAT_TORCH };
    if (size > 2 && bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5)
        return (io_kind){ "a pickle", NULL, IO_FORMAT_PICKLE };
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++)
        if (size >= signatures[i].at + signatures[i].size &&
            !memcmp(bytes + signatures[i].at, signatures[i].bytes, signatures[i].size))
            return signatures[i].kind;
    if (!bytes[0] && !memcmp(bytes, bytes + 1, size - 1))
        return zeros;
    return kind_of_text(bytes, size);
}

io_kind io_path_kind(const char *path)
{
    io_map map;
    if (io_map_open(&map, path, NULL))
        return (io_kind){ 0 };
    io_kind kind = io_kind_of(map.bytes, map.size);
    io_map_close(&map);
    return kind;
}

bool io_is_text_damaged(const void *bytes, size_t size)
{
    const char *at = bytes, *end = at + size;
    size_t lines = 0;
    for (const char *stop; at < end && (stop = memchr(at, '\n', (size_t)(end - at))); lines++) {
        if (stop == at || stop[-1] != '\r')
            return false;
        at = stop + 1;
    }
    return lines >= LINES;
}

/* The beginning of a short text, as servers send instead of a file; NULL: it is none. */
static const char *first_line(const unsigned char *bytes, size_t size, io_printable *line)
{
    size_t length = 0;
    for (size_t i = 0; i < size; i++)
        if (size > LOOK || bytes[i] == 0x7f || (bytes[i] < ' ' && !isspace(bytes[i])))
            return NULL;
    while (length < size && bytes[length] != '\n' && bytes[length] != '\r')
        length++;
    *line = io_print(bytes, length);
    return line->text;
}

hds_status io_raise_kind(hds_error *error, const char *path, const void *bytes, size_t size,
                         const char *expected)
{
    io_printable line;
    io_kind kind = io_kind_of(bytes, size);
    if (kind.format == IO_FORMAT_ZIP || kind.format == IO_FORMAT_NPZ ||
        kind.format == IO_FORMAT_TORCH)
        if (!io_archive_has_end(bytes, size))
            return hds_raise(error, HDS_ERROR_FORMAT,
                             "%s: is %s that is cut short after %zu bytes; fetch it again, or save "
                             "it again",
                             path, kind.name, size);
    if (kind.name && kind.cure)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: is %s; %s (expected %s)", path, kind.name,
                         kind.cure, expected);
    if (kind.name)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: is %s; expected %s", path, kind.name,
                         expected);
    if (first_line(bytes, size, &line))
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: is a text that begins with \"%s\"; expected %s", path, line.text,
                         expected);
    if (io_is_text_damaged(bytes, size))
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: was copied as text, so that its lines end in CR LF, which damages "
                         "it; fetch it again (expected %s)",
                         path, expected);
    return hds_raise(error, HDS_ERROR_FORMAT,
                     "%s: is of a kind that is not known here, or damaged; expected %s", path,
                     expected);
}

hds_status io_raise_path_kind(hds_error *error, const char *path, const char *expected)
{
    io_map map;
    hds_status status = io_map_open(&map, path, error);
    if (!status)
        status = io_raise_kind(error, path, map.bytes, map.size, expected);
    io_map_close(&map);
    return status;
}

hds_status io_check_archive(const char *path, const char *expected, hds_error *error)
{
    io_map map;
    hds_status status = io_map_open(&map, path, error);
    if (status)
        return status;
    bool whole =
        map.size > 4 && !memcmp(map.bytes, "PK\3\4", 4) && io_archive_has_end(map.bytes, map.size);
    if (!whole)
        status = io_raise_kind(error, path, map.bytes, map.size, expected);
    io_map_close(&map);
    return status;
}
