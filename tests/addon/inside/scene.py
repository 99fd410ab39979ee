# SPDX-License-Identifier: GPL-3.0-or-later
"""Add Head, Generate and Cancel on real Blender data, without a window."""

import os
import sys
import time

import bpy
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import runner
import state

OUT = sys.argv[sys.argv.index("--") + 1]


def add_head():
    assert bpy.ops.headsds.add_head() == {"FINISHED"}
    return bpy.context.active_object


def foreign_head(scale=1.0, order=None, turn=np.eye(3), offset=(0.0, 0.0, 0.0)):
    """The model's topology as an artist may have it: no UVs, no keys, other axes, own material;
    with an order, its vertex i is the model's vertex order[i]."""
    from headsds_addon.core import engine
    model = engine.model()
    order = np.arange(model.vertex_count) if order is None else order
    vertices = scale * np.asarray(model.vertices())[order] @ turn.T + offset
    faces = np.argsort(order)[np.asarray(model.faces)]
    mesh = bpy.data.meshes.new("Artist")
    mesh.from_pydata(vertices.tolist(), [], faces[::-1].tolist())
    obj = bpy.data.objects.new("Artist", mesh)
    bpy.context.scene.collection.objects.link(obj)
    bpy.context.view_layer.objects.active = obj
    return obj


def generate(prompt, geometry_steps=2, texture_steps=2, seed=0):
    runner.ask(prompt, geometry_steps, texture_steps, seed)
    assert bpy.ops.headsds.generate() == {"FINISHED"}


def refused(word):
    """Generate refuses with a message that holds `word`, in the report and in the panel."""
    from headsds_addon.ops import session
    try:
        bpy.ops.headsds.generate()
    except RuntimeError as error:
        assert word in str(error), error
        assert word in session.last_error
        return
    raise AssertionError("was not refused")


def test_add_head():
    from headsds_addon.core import engine
    model = engine.model()
    obj = add_head()
    mesh = obj.data
    assert len(mesh.vertices) == model.vertex_count and obj.type == "MESH"
    x, y, z = np.asarray(model.vertices()).T
    assert np.allclose(state.coordinates(mesh.vertices), np.stack([x, -z, y], axis=-1), atol=1e-6)
    assert all(polygon.use_smooth for polygon in mesh.polygons)
    keys = mesh.shape_keys.key_blocks
    assert [k.name for k in keys] == ["Basis", *model.expression_names]
    assert all(k.value == 0.0 for k in keys)
    first = np.abs(state.key(obj, keys[1].name) - state.key(obj, "Basis")).max()
    assert 0.0005 < first < 0.1, first
    uvs = np.array([loop.uv[:] for loop in mesh.uv_layers["HeadSDS"].data])
    wanted = np.asarray(model.uvs)[np.asarray(model.uv_faces).ravel()]
    assert np.allclose(uvs, wanted, atol=1e-6)
    normals = np.array([p.normal[:] for p in mesh.polygons])
    centres = np.array([p.center[:] for p in mesh.polygons])
    outward = ((centres - centres.mean(axis=0)) * normals).sum(axis=1) > 0
    assert outward.mean() > 0.7, "faces look inwards"


def test_generate_writes_key_texture_and_record():
    from headsds_addon.ops import materials, meshes
    obj = add_head()
    basis = state.key(obj, "Basis")
    expressions = {k.name: state.key(obj, k.name) for k in obj.data.shape_keys.key_blocks}
    prompt = "a man with a très long nose " + "頭" * 40
    generate(prompt, seed=7)
    name = obj.data.shape_keys.key_blocks[-1].name
    assert prompt.startswith(name) and len(name.encode()) <= 63
    first = state.key(obj, name)
    assert np.abs(first - basis).max() > 1e-5
    for other, vertices in expressions.items():
        assert np.array_equal(state.key(obj, other), vertices), other

    material = materials.ours(obj)
    image = materials.shown_image(obj)
    assert image.name == name and image.packed_file is not None
    assert material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].is_linked
    assert {p.material_index for p in obj.data.polygons} == {0} and len(obj.data.materials) == 1
    record = meshes.records(obj)[name]
    assert record["prompt"] == prompt and record["seed"] == "7" and len(record["shape"]) > 0
    assert any(record["shape"])

    generate(prompt, seed=8)
    keys = obj.data.shape_keys.key_blocks
    second = keys[-1].name
    assert second.endswith(".001") and len(second.encode()) <= 63
    assert keys[second].value == 1.0 and keys[name].value == 0.0
    assert np.array_equal(state.key(obj, name), first)
    assert not np.array_equal(state.key(obj, second), first), "another seed, the same head"
    assert materials.ours(obj) is material and len(obj.data.materials) == 1
    assert materials.shown_image(obj).name == second and image.name == name
    assert set(meshes.records(obj)) == {name, second}
    assert np.array_equal(state.key(obj, "Basis"), basis)

    path = os.path.join(OUT, "reopened.blend")
    pixels = image.pixels[:]
    colours = len(set(pixels))
    assert colours > 2, "a texture of one colour"
    bpy.ops.wm.save_as_mainfile(filepath=path, check_existing=False)
    bpy.ops.wm.open_mainfile(filepath=path)
    obj = bpy.data.objects["Head"]
    assert np.array_equal(state.key(obj, name), first)
    assert obj.data.shape_keys.key_blocks[second].value == 1.0
    assert bpy.data.images[name].pixels[:] == pixels, "the texture of an earlier key is lost"
    assert meshes.records(obj)[name]["prompt"] == prompt


def test_same_seed_same_key():
    first, second = add_head(), None
    generate("an old woman", seed=3)
    second = add_head()
    generate("an old woman", seed=3)
    assert np.array_equal(state.key(first, "an old woman"), state.key(second, "an old woman"))


def moved(obj, name):
    """(V,3) what the key's record says that the model has moved, in metres, from the start."""
    from headsds_addon.core import engine
    from headsds_addon.ops import meshes
    record, model = meshes.records(obj)[name], engine.model()
    after = np.asarray(model.vertices(shape=record["shape"]))
    distance = after - np.asarray(model.vertices(shape=record.get("start_shape", [])))
    assert np.abs(distance).max() > 1e-5
    return distance


def sculpted(obj):
    """A bump on the face, (V,3) of what the mesh is then."""
    sculpt = state.coordinates(obj.data.vertices)
    size = np.ptp(sculpt, axis=0).max()
    sculpt[sculpt[:, 2] > np.percentile(sculpt[:, 2], 90)] += size * np.array([0.01, 0.01, 0.03])
    obj.data.vertices.foreach_set("co", sculpt.ravel())
    return sculpt


def test_sculpted_mesh_in_centimetres_is_the_start():
    from headsds_addon.core import coordinates
    from headsds_addon.ops import meshes, session
    obj = foreign_head(scale=100.0)
    sculpt = sculpted(obj)
    obj.scale = (0.013, 0.013, 0.013)
    generate("a wide jaw", texture_steps=0)
    assert any(meshes.records(obj)["a wide jaw"]["start_shape"])
    written = state.key(obj, "a wide jaw") - state.key(obj, "Basis")
    wanted = 100.0 * moved(obj, "a wide jaw")
    assert np.array_equal(state.key(obj, "Basis"), sculpt)
    assert np.allclose(written, wanted, atol=1e-4), np.abs(written - wanted).max()
    ended = session.current         # the head that came out has the sculpt, too
    whole = ended.placement.point(coordinates.to_blender(ended.head.vertices()))
    assert np.allclose(whole, state.key(obj, "a wide jaw"), atol=1e-4)


def test_permuted_mesh_gets_keys_and_uvs_in_its_own_order():
    from headsds_addon.core import engine
    model = engine.model()
    order = np.random.default_rng(6).permutation(model.vertex_count)
    plain, obj = foreign_head(), foreign_head(order=order)
    generate("a wide jaw")
    distance = moved(obj, "a wide jaw")[order]
    written = state.key(obj, "a wide jaw") - state.key(obj, "Basis")
    assert np.allclose(written, distance, atol=1e-6), np.abs(written - distance).max()
    uvs = np.array([loop.uv[:] for loop in obj.data.uv_layers["HeadSDS"].data]).reshape(-1, 3, 2)
    wanted = np.asarray(model.uvs)[np.asarray(model.uv_faces)][::-1]
    assert np.allclose(uvs, wanted, atol=1e-6)
    bpy.context.view_layer.objects.active = plain
    generate("a wide jaw", texture_steps=0)
    first = state.key(plain, "a wide jaw")
    assert np.allclose(state.key(obj, "a wide jaw"), first[order], atol=1e-6)


def test_permuted_sculpt_is_kept():
    from headsds_addon.core import engine
    order = np.random.default_rng(7).permutation(engine.model().vertex_count)
    obj = foreign_head(scale=100.0, order=order)
    sculpt = sculpted(obj)
    generate("a wide jaw", texture_steps=0)
    assert np.array_equal(state.key(obj, "Basis"), sculpt)
    written = state.key(obj, "a wide jaw") - sculpt
    assert np.allclose(written, 100.0 * moved(obj, "a wide jaw")[order], atol=1e-4)


def test_transformed_mesh_keeps_its_axes_and_units():
    """Turned, in inches and off the origin in its own coordinates, and the object elsewhere."""
    c, s = np.cos(0.7), np.sin(0.7)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ np.array(
        [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    obj = foreign_head(scale=39.37, turn=turn, offset=(3.0, -8.0, 60.0))
    obj.matrix_world = ((0.0, -0.5, 0.0, 1.0), (0.5, 0.0, 0.0, 2.0), (0.0, 0.0, 2.0, 3.0),
                        (0.0, 0.0, 0.0, 1.0))
    bpy.context.view_layer.update()
    matrix = np.array(obj.matrix_world)
    generate("a wide jaw", texture_steps=0)
    written = state.key(obj, "a wide jaw") - state.key(obj, "Basis")
    wanted = 39.37 * moved(obj, "a wide jaw") @ turn.T
    assert np.allclose(written, wanted, atol=1e-4), np.abs(written - wanted).max()
    assert np.allclose(obj.matrix_world, matrix, atol=1e-6)


def test_artists_materials_stay():
    from headsds_addon.ops import materials
    obj = foreign_head()
    for name in ("Skin", "Eyes"):
        material = bpy.data.materials.new(name)
        if bpy.app.version < (5, 0):
            material.use_nodes = True
        obj.data.materials.append(material)
    obj.data.polygons[5].material_index = 1
    generate("red hair")
    assert [m.name for m in obj.data.materials] == ["Skin", "Eyes", "HeadSDS"]
    assert {p.material_index for p in obj.data.polygons} == {2}
    previous = [v.value for v in obj.data.attributes[materials.PREVIOUS].data]
    assert previous[5] == 1 and sum(previous) == 1
    assert "HeadSDS" in obj.data.uv_layers


def test_other_topology_is_refused():
    bpy.ops.mesh.primitive_cube_add()
    cube = bpy.context.active_object
    before = state.fingerprint(cube)
    runner.ask("a man", 2, 2)
    refused("8 vertices")
    assert not state.difference(before, state.fingerprint(cube))
    obj = foreign_head()
    mesh = obj.data
    a, b = (mesh.polygons[i].loop_start for i in (0, 40))
    va, vb = mesh.loops[a].vertex_index, mesh.loops[b].vertex_index
    mesh.loops[a].vertex_index, mesh.loops[b].vertex_index = vb, va
    refused("Artist: not the topology")


def imported(kind, name, **options):
    """The mesh that an importer of Blender makes of a head that headsds saved."""
    from headsds_addon.core import engine
    path = os.path.join(OUT, name)
    engine.module().Head(shape=[1.0], texture=np.full((8, 8, 3), 200, "u1")).save(path)
    if kind == "gltf":
        import addon_utils
        np.bool = bool                  # older importers of glTF want NumPy before 1.24
        addon_utils.enable("io_scene_gltf2")
        bpy.ops.import_scene.gltf(filepath=path, **options)
    else:
        bpy.ops.wm.obj_import(filepath=path)
    obj = next(o for o in bpy.context.selected_objects if o.type == "MESH")
    bpy.context.view_layer.objects.active = obj
    return obj


def test_a_glb_is_taken_once_its_seams_are_merged():
    from headsds_addon.core import engine
    obj = imported("gltf", "head.glb")
    runner.ask("a man", 2, 2)
    refused("Merge by Distance")
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.mesh.remove_doubles()
    bpy.ops.object.mode_set(mode="OBJECT")
    generate("a man")
    assert obj.data.shape_keys.key_blocks["a man"].value == 1.0
    names = [key.name for key in obj.data.shape_keys.key_blocks]
    assert names[1:-1] == list(engine.model().expression_names)
    bpy.ops.object.delete()
    obj = imported("gltf", "head.glb", merge_vertices=True)
    generate("a woman")
    assert "a woman" in obj.data.shape_keys.key_blocks


def test_an_obj_comes_with_its_texture_and_is_taken():
    obj = imported("obj", "my head.obj")
    images = [node.image for material in obj.data.materials
              for node in material.node_tree.nodes if node.type == "TEX_IMAGE"]
    assert [image.size[:] for image in images] == [(8, 8)]
    generate("a man")
    assert "a man" in obj.data.shape_keys.key_blocks


def test_absolute_shape_keys_are_refused():
    obj = add_head()
    obj.data.shape_keys.use_relative = False
    before = state.fingerprint(obj)
    runner.ask("a man", 2, 2)
    refused("tick Relative")
    assert not state.difference(before, state.fingerprint(obj))
    obj.data.shape_keys.use_relative = True
    generate("a man")


def test_operators_that_are_greyed_out_say_why():
    def expect(operator, word):
        try:
            operator()
        except RuntimeError as error:
            assert word in str(error), error
            return
        raise AssertionError("was not refused")
    expect(bpy.ops.headsds.cancel, "No head is being generated")
    add_head()
    bpy.ops.object.mode_set(mode="EDIT")
    expect(bpy.ops.headsds.add_head, "Go back to object mode first")


def test_bad_requests_are_refused():
    runner.ask("a man", 2, 2)
    refused("no object is active")
    obj = add_head()
    before = state.fingerprint(obj)
    runner.ask("  ", 2, 2)
    refused("prompt is empty")
    runner.ask("a man", 0, 0)
    refused("0 steps")
    runner.ask("a man", 2, 2)
    preferences = bpy.context.preferences.addons["headsds_addon"].preferences
    for field in ("prior", "head_model"):
        kept = getattr(preferences, field)
        setattr(preferences, field, "/nowhere/at-all")
        refused("/nowhere/at-all")
        setattr(preferences, field, kept)
    changed = state.difference(before, state.fingerprint(obj))
    assert not changed, changed
    bpy.ops.object.mode_set(mode="EDIT")
    refused("edit mode")


def begin(obj):
    """A run on `obj` that would go on for long, once its texture shows."""
    from headsds_addon.core import settings
    from headsds_addon.ops import session
    running = session.Session(obj, settings.Settings("a man", 0, 2, 5000))
    while running.run.progress.stage != "texture" or running.run.progress.step < 3:
        running.tick()
        assert not running.over, running.error
        time.sleep(0.02)
    return running


def follow(running, condition):
    while not condition():
        running.tick()
        time.sleep(0.02)


def previews(obj):
    return obj.data.shape_keys is not None and "HeadSDS preview" in obj.data.shape_keys.key_blocks


def cancel_when_textured(obj):
    """Follows a run until its texture shows, cancels it, returns what it had changed by then."""
    before = state.fingerprint(obj)
    running = begin(obj)
    shown = state.difference(before, state.fingerprint(obj))
    running.cancel()
    at_once = state.difference(before, state.fingerprint(obj))
    follow(running, lambda: running.over)
    assert running.error == "" and running.key_name == ""
    assert not at_once, at_once
    left = state.difference(before, state.fingerprint(obj))
    assert not left, left
    return shown


def test_cancel_leaves_an_added_head_as_it_was():
    obj = add_head()
    generate("first")
    shown = cancel_when_textured(obj)
    assert {"keys", "shown", "images"} <= set(shown), shown


def artists_head():
    obj = foreign_head()
    material = bpy.data.materials.new("Skin")
    if bpy.app.version < (5, 0):
        material.use_nodes = True
    obj.data.materials.append(material)
    obj.data.uv_layers.new(name="Artist's own")
    return obj


def test_cancel_leaves_an_artists_mesh_as_it_was():
    obj = artists_head()
    shown = cancel_when_textured(obj)
    assert {"keys", "slots", "uvs", "faces", "materials"} <= set(shown), shown
    assert obj.data.shape_keys is None


def test_an_object_renamed_under_way_is_found_again():
    obj = add_head()
    before = state.fingerprint(obj)
    running = begin(obj)
    obj.name = "Renamed"
    other = add_head()
    assert other.name == "Head"
    untouched = state.fingerprint(other)
    shown = state.key(obj, "HeadSDS preview")
    follow(running, lambda: running.run.progress.step > 5)
    assert running.object_name == "Renamed" and running.error == ""
    assert previews(obj) and shown.shape == state.key(obj, "HeadSDS preview").shape
    running.cancel()
    follow(running, lambda: running.over)
    assert running.error == ""
    for head, was in ((obj, before), (other, untouched)):
        left = set(state.difference(was, state.fingerprint(head))) - {"images", "materials"}
        assert not left, left


def test_an_object_removed_under_way_ends_the_run():
    obj = add_head()
    before = state.fingerprint(obj)
    mesh = obj.data
    running = begin(obj)
    bpy.data.objects.remove(obj)
    follow(running, lambda: running.over)
    assert "Head was removed" in running.error
    left = state.difference(before, state.fingerprint(bpy.data.objects.new("Head", mesh)))
    assert not left, left


def test_files_saved_under_way_have_no_preview():
    obj = artists_head()
    before = state.fingerprint(obj)
    running = begin(obj)
    path = os.path.join(OUT, "under way.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path, check_existing=False, copy=True)
    left = state.difference(before, state.fingerprint(obj))
    assert not left, left
    follow(running, lambda: previews(obj))
    running.cancel()
    follow(running, lambda: running.over)
    bpy.ops.wm.open_mainfile(filepath=path)
    left = state.difference(before, state.fingerprint(bpy.data.objects["Artist"]))
    assert not left, left


def test_a_preview_in_a_file_is_taken_back():
    """An autosave does not ask before it saves."""
    from headsds_addon.ops import handlers, preview
    obj = artists_head()
    before = state.fingerprint(obj)
    running = begin(obj)
    path = os.path.join(OUT, "autosaved.blend")
    bpy.app.handlers.save_pre.remove(handlers.before_save)
    bpy.ops.wm.save_as_mainfile(filepath=path, check_existing=False, copy=True)
    bpy.app.handlers.save_pre.append(handlers.before_save)
    assert preview.is_on(obj)
    running.cancel()
    follow(running, lambda: running.over)
    bpy.ops.wm.open_mainfile(filepath=path)
    left = state.difference(before, state.fingerprint(bpy.data.objects["Artist"]))
    assert not left, left


def test_copies_keep_their_own_texture():
    from headsds_addon.ops import materials
    first = add_head()
    generate("first")
    second = first.copy()
    second.data = first.data.copy()
    bpy.context.collection.objects.link(second)
    assert materials.ours(first) == materials.ours(second)
    kept = state.fingerprint(first)
    shown = cancel_when_textured(second)
    assert {"slots", "shown"} <= set(shown), shown
    bpy.context.view_layer.objects.active = second
    generate("second")
    assert materials.shown_image(first).name == "first"
    assert materials.shown_image(second).name == "second"
    left = set(state.difference(kept, state.fingerprint(first))) - {"images", "materials"}
    assert not left, left


def test_a_copy_made_under_way_has_no_preview():
    from headsds_addon.core import settings
    from headsds_addon.ops import materials, session
    obj = artists_head()
    before = state.fingerprint(obj)
    running = session.Session(obj, settings.Settings("a man", 0, 2, 4))
    follow(running, lambda: running.run.progress.stage == "texture")
    copy = obj.copy()
    copy.data = obj.data.copy()
    bpy.context.collection.objects.link(copy)
    follow(running, lambda: running.over)
    assert running.key_name == "a man" and materials.shown_image(obj).name == "a man"
    left = set(state.difference(before, state.fingerprint(copy))) - {"images", "materials"}
    assert not left, left
    assert len(bpy.data.materials) == 2, list(bpy.data.materials)
    assert "HeadSDS preview" not in bpy.data.images


def test_edit_mode_under_way_waits():
    from headsds_addon.core import settings
    from headsds_addon.ops import session
    obj = add_head()
    running = session.Session(obj, settings.Settings("a man", 0, 2, 0))
    bpy.ops.object.mode_set(mode="EDIT")
    while running.run.poll() != "DONE":
        running.tick()
    running.tick()
    assert not running.over and "object mode" in running.text()
    bpy.ops.object.mode_set(mode="OBJECT")
    running.tick()
    assert running.over and "a man" in obj.data.shape_keys.key_blocks


def test_disabling_under_way_leaves_nothing():
    import addon_utils
    from headsds_addon.core import run
    from headsds_addon.ops import session
    obj = artists_head()
    before = state.fingerprint(obj)
    running = session.current = begin(obj)
    session.last_error = "an earlier one"
    addon_utils.disable("headsds_addon")
    assert session.current is None and session.last_error == ""
    left = state.difference(before, state.fingerprint(obj))
    assert not left, left
    while running.run.poll() not in run.OVER:
        time.sleep(0.02)
    assert not hasattr(bpy.types.Scene, "headsds")
    assert not any(f.__module__.startswith("headsds_addon") for f in bpy.app.handlers.save_pre)
    runner.enable()
    add_head()


runner.run([value for name, value in list(globals().items()) if name.startswith("test_")])
