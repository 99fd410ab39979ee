/* SPDX-License-Identifier: Apache-2.0 */
/* A head as glTF 2.0: one mesh in metres, its expressions as named morph targets, one material with
 * the texture inside (.glb) or beside (.gltf). assimp writes it; the scene is laid out here. */
#include "asset/asset.h"

#include "assimp_priv.h"
#include "io/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The aiScene and all it points to come from one arena; a failed allocation is remembered. */
typedef struct builder {
    arena memory;
    bool failed;
    hds_head_info head;
    hds_head_model_info model;
    head_surface shape;
    head_seams split;
    void *png; /* the texture, encoded */
    size_t png_size;
} builder;

static void *take(builder *b, size_t count, size_t size)
{
    void *memory = arena_alloc(&b->memory, count, size);
    b->failed |= memory == NULL;
    return memory;
}

static void set_string(struct aiString *string, const char *text)
{
    int length = snprintf(string->data, sizeof string->data, "%s", text);
    string->length =
        (ai_uint32)(length < (int)sizeof string->data ? length : (int)sizeof string->data - 1);
}

/* (V,3) on the model's vertices -> the split ones. */
static struct aiVector3D *gather(builder *b, const float *values)
{
    struct aiVector3D *out = take(b, b->split.count, sizeof *out);
    for (size_t i = 0; out && i < b->split.count; i++) {
        const float *v = values + 3 * (size_t)b->split.vertices[i];
        out[i] = (struct aiVector3D){ v[0], v[1], v[2] };
    }
    return out;
}

static struct aiVector3D *gather_uvs(builder *b)
{
    struct aiVector3D *out = take(b, b->split.count, sizeof *out);
    for (size_t i = 0; out && i < b->split.count; i++) {
        const float *uv = b->model.uvs + 2 * (size_t)b->split.uvs[i];
        out[i] = (struct aiVector3D){ uv[0], uv[1], 0 };
    }
    return out;
}

static struct aiFace *build_faces(builder *b)
{
    struct aiFace *faces = take(b, b->model.face_count, sizeof *faces);
    for (size_t i = 0; faces && i < b->model.face_count; i++)
        faces[i] = (struct aiFace){ 3, b->split.faces + 3 * i };
    return faces;
}

static struct aiAnimMesh **build_targets(builder *b)
{
    size_t count = b->shape.target_count, stride = 3 * b->shape.vertex_count;
    struct aiAnimMesh **targets = take(b, count, sizeof *targets);
    for (size_t k = 0; targets && k < count; k++) {
        struct aiAnimMesh *target = targets[k] = take(b, 1, sizeof *target);
        if (!target)
            return NULL;
        set_string(&target->mName, b->model.expression_names[k]);
        target->mVertices = gather(b, b->shape.target_vertices + k * stride);
        target->mNormals = gather(b, b->shape.target_normals + k * stride);
        target->mNumVertices = (unsigned)b->split.count;
    }
    return targets;
}

static struct aiMesh *build_mesh(builder *b, const char *name)
{
    struct aiMesh *mesh = take(b, 1, sizeof *mesh);
    if (!mesh)
        return NULL;
    set_string(&mesh->mName, name);
    mesh->mPrimitiveTypes = aiPrimitiveType_TRIANGLE;
    mesh->mNumVertices = (unsigned)b->split.count;
    mesh->mNumFaces = (unsigned)b->model.face_count;
    mesh->mVertices = gather(b, b->shape.vertices);
    mesh->mNormals = gather(b, b->shape.normals);
    mesh->mFaces = build_faces(b);
    if (b->split.uvs) {
        mesh->mTextureCoords[0] = gather_uvs(b);
        mesh->mNumUVComponents[0] = 2;
    }
    if (b->shape.target_count) {
        mesh->mNumAnimMeshes = (unsigned)b->shape.target_count;
        mesh->mMethod = aiMorphingMethod_MORPH_RELATIVE;
        mesh->mAnimMeshes = build_targets(b);
    }
    return mesh;
}

static void add_property(builder *b, struct aiMaterial *material, const char *key,
                         unsigned semantic, unsigned index, enum aiPropertyTypeInfo type,
                         const void *data, size_t size)
{
    struct aiMaterialProperty *property = take(b, 1, sizeof *property);
    char *copy = take(b, size, 1);
    if (!property || !copy)
        return;
    memcpy(copy, data, size);
    set_string(&property->mKey, key);
    property->mSemantic = semantic;
    property->mIndex = index;
    property->mType = type;
    property->mDataLength = (unsigned)size;
    property->mData = copy;
    material->mProperties[material->mNumProperties++] = property;
}

/* assimp keeps strings in properties as a 32-bit length, the bytes and a NUL. */
static void add_string(builder *b, struct aiMaterial *material, const char *key, unsigned semantic,
                       unsigned index, const char *text)
{
    ai_uint32 length = (ai_uint32)strlen(text);
    char packed[1024] = { 0 };
    if (length + sizeof length + 1 > sizeof packed)
        length = sizeof packed - sizeof length - 1;
    memcpy(packed, &length, sizeof length);
    memcpy(packed + sizeof length, text, length);
    add_property(b, material, key, semantic, index, aiPTI_String, packed,
                 sizeof length + length + 1);
}

static void add_floats(builder *b, struct aiMaterial *material, const char *key, unsigned semantic,
                       unsigned index, const float *values, size_t count)
{
    add_property(b, material, key, semantic, index, aiPTI_Float, values, count * sizeof *values);
}

enum { MATERIAL_PROPERTIES = 5 };

static struct aiMaterial *build_material(builder *b, const char *texture)
{
    static const float white[4] = { 1, 1, 1, 1 }, grey[4] = { .5f, .5f, .5f, 1 };
    static const float metallic = 0, roughness = .6f;
    struct aiMaterial *material = take(b, 1, sizeof *material);
    struct aiMaterialProperty **list = take(b, MATERIAL_PROPERTIES, sizeof *list);
    if (!material || !list)
        return NULL;
    material->mProperties = list;
    material->mNumAllocated = MATERIAL_PROPERTIES;
    add_string(b, material, AI_MATKEY_NAME, "headsds");
    add_floats(b, material, AI_MATKEY_BASE_COLOR, texture ? white : grey, 4);
    add_floats(b, material, AI_MATKEY_METALLIC_FACTOR, &metallic, 1);
    add_floats(b, material, AI_MATKEY_ROUGHNESS_FACTOR, &roughness, 1);
    if (texture)
        add_string(b, material, AI_MATKEY_TEXTURE(aiTextureType_BASE_COLOR, 0), texture);
    return material;
}

/* A compressed picture: height 0, width its bytes. */
static void embed_texture(builder *b, struct aiScene *scene)
{
    struct aiTexture *texture = take(b, 1, sizeof *texture);
    struct aiTexture **list = take(b, 1, sizeof *list);
    if (!texture || !list)
        return;
    texture->mWidth = (unsigned)b->png_size;
    texture->pcData = b->png;
    snprintf(texture->achFormatHint, sizeof texture->achFormatHint, "png");
    set_string(&texture->mFilename, "texture");
    list[0] = texture;
    scene->mTextures = list;
    scene->mNumTextures = 1;
}

/* texture: what the material refers to; "*0" embeds it. NULL: there is none. */
static struct aiScene *build_scene(builder *b, const char *name, const char *texture)
{
    struct aiScene *scene = take(b, 1, sizeof *scene);
    struct aiNode *node = take(b, 1, sizeof *node);
    struct aiMesh **meshes = take(b, 1, sizeof *meshes);
    struct aiMaterial **materials = take(b, 1, sizeof *materials);
    unsigned *indices = take(b, 1, sizeof *indices);
    if (b->failed)
        return NULL;
    set_string(&node->mName, name);
    node->mTransformation.a1 = node->mTransformation.b2 = 1;
    node->mTransformation.c3 = node->mTransformation.d4 = 1;
    node->mMeshes = indices;
    node->mNumMeshes = 1;
    meshes[0] = build_mesh(b, name);
    materials[0] = build_material(b, texture);
    scene->mRootNode = node;
    scene->mMeshes = meshes;
    scene->mNumMeshes = 1;
    scene->mMaterials = materials;
    scene->mNumMaterials = 1;
    if (texture && strcmp(texture, "*0") == 0)
        embed_texture(b, scene);
    return b->failed ? NULL : scene;
}

static hds_status builder_init(builder *b, const hds_head *head, hds_error *error)
{
    *b = (builder){ 0 };
    hds_head_get_info(head, &b->head);
    hds_head_model_get_info(b->head.model, &b->model);
    hds_status status = head_surface_init(&b->shape, head, true, error);
    if (status == HDS_OK)
        status = head_seams_init(&b->split, &b->model, error);
    if (status == HDS_OK && b->head.texture && b->split.uvs)
        status = io_png_encode(b->head.texture, (int)b->head.texture_width,
                               (int)b->head.texture_height, 3, &b->png, &b->png_size, error);
    return status;
}

static void builder_finish(builder *b)
{
    head_surface_finish(&b->shape);
    head_seams_finish(&b->split);
    hds_free(b->png);
    arena_finish(&b->memory);
}

/* A file name as a relative reference: ASCII other than letters, digits and "-._~" is escaped. */
static char *escape_name(const char *name) /* new */
{
    char *out = hds_alloc(3 * strlen(name) + 1, 1), *to = out;
    for (; out && *name; name++) {
        unsigned char c = (unsigned char)*name;
        bool plain = c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                     (c >= 'a' && c <= 'z') || strchr("-._~", c);
        to += plain ? (*to = (char)c, 1) : sprintf(to, "%%%02X", c);
    }
    return out;
}

static hds_status export_scene(builder *b, const hds_head *head, const char *path,
                               const char *texture, bool binary,
                               const struct aiExportDataBlob **blob, hds_error *error)
{
    char name[64], message[512] = "";
    asset_head_name(head, name);
    const struct aiScene *scene = build_scene(b, name, texture);
    if (!scene)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    *blob = scene_export(scene, binary ? "glb2" : "gltf2", "head", message, sizeof message);
    if (*blob && (*blob)->size)
        return HDS_OK;
    return hds_raise(error, HDS_ERROR_INTERNAL, "%s: assimp could not export: %s", path, message);
}

/* Does anything in `json` have the extension? */
static bool uses_extension(const json_t *json, const char *extension)
{
    const char *key;
    const json_t *value;
    size_t index;
    if (json_object_get(json_object_get(json, "extensions"), extension))
        return true;
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        if (uses_extension(value, extension))
            return true;
    }
    json_array_foreach(json, index, value)
    {
        if (uses_extension(value, extension))
            return true;
    }
    return false;
}

/* assimp says that extensions are used which are not. */
static void drop_unused_extensions(json_t *root)
{
    json_t *used = json_object_get(root, "extensionsUsed");
    for (size_t i = json_array_size(used); i-- > 0;)
        if (!uses_extension(root, json_string_value(json_array_get(used, i))))
            json_array_remove(used, i);
    if (json_array_size(used) == 0)
        json_object_del(root, "extensionsUsed");
}

/* The text of a glTF without what it does not use, its buffer named `buffer` unless that is NULL;
 * free(). */
static char *finish_text(const void *bytes, size_t size, const char *buffer, size_t flags,
                         hds_error *error)
{
    json_error_t where = { .text = "" };
    json_t *root = json_loadb(bytes, size, 0, &where);
    json_t *first = json_array_get(json_object_get(root, "buffers"), 0);
    char *text = NULL;
    drop_unused_extensions(root);
    if (first && (!buffer || json_object_set_new(first, "uri", json_string(buffer)) == 0))
        text = json_dumps(root, flags);
    json_decref(root);
    if (!text)
        (void)hds_raise(error, HDS_ERROR_INTERNAL, "assimp exported no buffer: %s", where.text);
    return text;
}

static hds_status add_gltf_files(builder *b, io_files *files, const char *path,
                                 const char *bin_path, const char *png_path,
                                 const struct aiExportDataBlob *blob, hds_error *error)
{
    const struct aiExportDataBlob *buffer = blob->next;
    if (!buffer)
        return hds_raise(error, HDS_ERROR_INTERNAL, "%s: assimp exported no buffer", path);
    char *uri = escape_name(io_base_name(bin_path));
    char *text = uri ? finish_text(blob->data, blob->size, uri, JSON_INDENT(1), error) : NULL;
    hds_free(uri);
    if (!text)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    hds_status status = io_files_add(files, bin_path, buffer->data, buffer->size, error);
    if (status == HDS_OK && b->png)
        status = io_files_add(files, png_path, b->png, b->png_size, error);
    if (status == HDS_OK)
        status = io_files_add(files, path, text, strlen(text), error);
    free(text);
    return status;
}

/* .gltf, .bin and .png beside each other. */
static hds_status save_text(builder *b, const hds_head *head, const char *path, hds_error *error)
{
    char *bin_path = io_with_ending(path, ".bin"), *png_path = io_with_ending(path, ".png");
    char *uri = png_path ? escape_name(io_base_name(png_path)) : NULL;
    const struct aiExportDataBlob *blob = NULL;
    io_files files = { 0 };
    hds_status status = HDS_OK;
    if (!bin_path || !uri)
        status = hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    if (status == HDS_OK)
        status = export_scene(b, head, path, b->png ? uri : NULL, false, &blob, error);
    if (status == HDS_OK)
        status = add_gltf_files(b, &files, path, bin_path, png_path, blob, error);
    if (status == HDS_OK)
        status = io_files_commit(&files, error);
    io_files_finish(&files);
    if (blob)
        aiReleaseExportBlob(blob);
    hds_free(uri);
    hds_free(png_path);
    hds_free(bin_path);
    return status;
}

enum { GLB_HEADER = 12, GLB_CHUNK = 8 };

static void put_little(unsigned char *at, size_t number)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(number >> 8 * i);
}

/* glb: magic, version, length of all; chunks: length, type, data up to a multiple of 4, the first
 * of JSON. */
static hds_status write_binary(const char *path, const unsigned char *glb, size_t size,
                               hds_error *error)
{
    const size_t data = GLB_HEADER + GLB_CHUNK;
    size_t length = size < data ? 0
                                : glb[12] | (size_t)glb[13] << 8 | (size_t)glb[14] << 16 |
                                      (size_t)glb[15] << 24;
    if (size < data || length > size - data)
        return hds_raise(error, HDS_ERROR_INTERNAL, "%s: assimp exported no JSON", path);
    char *text = finish_text(glb + data, length, NULL, JSON_COMPACT, error);
    if (!text)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    const size_t used = strlen(text), whole = (used + 3) / 4 * 4;
    unsigned char head[GLB_HEADER + GLB_CHUNK];
    memcpy(head, glb, sizeof head);
    put_little(head + 8, size - length + whole);
    put_little(head + GLB_HEADER, whole);
    const struct iovec pieces[] = { { head, sizeof head },
                                    { text, used },
                                    { (char[]){ "   " }, whole - used },
                                    { (void *)(uintptr_t)(glb + data + length),
                                      size - data - length } };
    hds_status status = io_write_pieces(path, pieces, sizeof pieces / sizeof *pieces, error);
    free(text);
    return status;
}

static hds_status save_binary(builder *b, const hds_head *head, const char *path, hds_error *error)
{
    const struct aiExportDataBlob *blob = NULL;
    hds_status status = export_scene(b, head, path, b->png ? "*0" : NULL, true, &blob, error);
    if (status == HDS_OK)
        status = write_binary(path, blob->data, blob->size, error);
    if (blob)
        aiReleaseExportBlob(blob);
    return status;
}

hds_status asset_save_gltf(const hds_head *head, const char *path, bool binary, hds_error *error)
{
    builder b;
    hds_status status = builder_init(&b, head, error);
    if (status == HDS_OK)
        status = binary ? save_binary(&b, head, path, error) : save_text(&b, head, path, error);
    builder_finish(&b);
    return status;
}
