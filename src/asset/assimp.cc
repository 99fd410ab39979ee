/* SPDX-License-Identifier: Apache-2.0 */
/* Calls assimp's exporter with properties, which only its C++ interface takes. */
#include "assimp_priv.h"

#include <assimp/Exporter.hpp>

#include <cstdio>
#include <exception>

extern "C" const aiExportDataBlob *scene_export(const aiScene *scene, const char *format,
                                                const char *stem, char *message,
                                                size_t message_size)
{
    try {
        Assimp::ExportProperties properties;
        properties.SetPropertyBool("GLTF2_TARGETNAMES_EXP", true);
        properties.SetPropertyBool("GLTF2_TARGET_NORMAL_EXP", true);
        properties.SetPropertyString(AI_CONFIG_EXPORT_BLOB_NAME, stem);
        Assimp::Exporter exporter;
        if (exporter.ExportToBlob(scene, format, 0u, &properties))
            return exporter.GetOrphanedBlob();
        std::snprintf(message, message_size, "%s", exporter.GetErrorString());
    } catch (const std::exception &e) {
        std::snprintf(message, message_size, "%s", e.what());
    } catch (...) {
        std::snprintf(message, message_size, "an unknown C++ exception");
    }
    return nullptr;
}
