# SPDX-License-Identifier: Apache-2.0
"""Blender opens the glTF files that we write, with shape keys, texture and size."""

import json
import shutil
import subprocess

import pytest

import headsds
import toy

IMPORT = """
import json, sys
import numpy
numpy.bool = bool  # Blender 3.4's importer asks for it, NumPy 1.24 has dropped it
import bpy
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_scene.gltf(filepath=sys.argv[-2])
thing, = (o for o in bpy.data.objects if o.type == "MESH")
mesh = thing.data
material = mesh.materials[0]
shader, = (n for n in material.node_tree.nodes if n.type == "BSDF_PRINCIPLED")
texture = shader.inputs["Base Color"].links[0].from_node
def corner(keys):
    return sorted(tuple(round(x, 6) for x in keys.data[v].co)
                  for p in mesh.polygons for v in p.vertices)
uv = mesh.uv_layers[0].data
json.dump({
    "name": thing.name,
    "faces": len(mesh.polygons),
    "keys": [k.name for k in mesh.shape_keys.key_blocks],
    "corners": [corner(k) for k in mesh.shape_keys.key_blocks],
    "uv": sorted((round(uv[i].uv[0], 5), round(uv[i].uv[1], 5)) for i in range(len(uv))),
    "size": list(texture.image.size),
    "first_pixel": [round(x * 255) for x in texture.image.pixels[:3]],
    "metallic": shader.inputs["Metallic"].default_value,
    "roughness": shader.inputs["Roughness"].default_value,
}, open(sys.argv[-1], "w"))
"""


@pytest.mark.parametrize("ending", ["glb", "gltf"])
def test_blender_imports(egg, tmp_path, ending):
    blender = shutil.which("blender")
    if not blender:
        pytest.skip("no blender on the path")
    head = headsds.Head(egg, shape=[1.0, -1.0], prompt="an egg")
    path, found = tmp_path / f"an egg.{ending}", tmp_path / "found.json"
    head.save(path)
    (tmp_path / "import.py").write_text(IMPORT)
    done = subprocess.run([blender, "-b", "--factory-startup", "--python-exit-code", "1",
                           "--python", tmp_path / "import.py", "--", path, found],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(found.read_text())
    assert result["name"] == "an egg"
    assert result["faces"] == egg.face_count
    assert result["keys"] == ["Basis", *toy.EXPRESSIONS]
    assert result["size"] == [toy.TEXTURE, toy.TEXTURE]
    assert (result["metallic"], round(result["roughness"], 5)) == (0, 0.6)
    last_row = head.texture.tolist()[-1]  # Blender's rows begin at the bottom
    assert result["first_pixel"] == last_row[0]
    check_corners(egg, head, result)


def check_corners(egg, head, result):
    """Each corner of each face, for the head and for each of its shape keys; Blender is z up."""
    faces, uvs, uv_faces = (x.tolist() for x in (egg.faces, egg.uvs, egg.uv_faces))
    for k, corners in enumerate(result["corners"]):
        weights = [float(k == i + 1) for i in range(egg.expression_count)]
        v = egg.vertices(head.shape, weights).tolist()
        wanted = sorted((v[i][0], -v[i][2], v[i][1]) for face in faces for i in face)
        for axis in range(3):
            a, b = sorted(x[axis] for x in wanted), sorted(x[axis] for x in corners)
            assert max(abs(x - y) for x, y in zip(a, b, strict=True)) < 2e-6
    wanted = sorted((round(uvs[i][0], 5), round(uvs[i][1], 5)) for face in uv_faces for i in face)
    assert [tuple(x) for x in result["uv"]] == wanted
