"""What `engine.body.fbx` runs in a process of its own: ufbx reads an FBX file, and plain arrays come out.

ufbx is a native parser. Its package for Python (0.0.5) also hands out elements of a scene without counting them: a
second look at one that was let go reads freed memory; `_held` counts them. A process of its own keeps what may still
go wrong away from the caller. It needs numpy and ufbx alone.

    python fbx_child.py FILE CLIP OUT.npz

Exit code 0: OUT.npz has been written. 3: the last line of stdout says what is wrong with the file.
"""

import ctypes
import os
import sys
from typing import Any

import numpy as np

MAX_NODES = 20_000
MAX_FRAMES = 200_000


class Broken(Exception):
    """The file cannot be used; the message says why."""


def extract(path: str, clip: str) -> dict[str, np.ndarray]:
    """Read one take.

    Args:
        path: the FBX file.
        clip: name of a take; "" for the longest.

    Returns:
        names (J,), parents (J,) int, rest (J, 4, 4), world (T, J, 4, 4) in the file's axes and units, time_s (T,),
        end_joints (E,), end_places (E, 3) at rest, note: text or "".

    Raises:
        Broken: no bones, no take, or ufbx refuses the file.
    """
    import ufbx

    try:
        scene = ufbx.load_file(
            path,
            ignore_geometry=True,
            ignore_embedded=True,
            inherit_mode_handling=ufbx.InheritModeHandling.COMPENSATE,
        )
    except Exception as error:  # ufbx has an exception for each way a file can be broken
        raise Broken(f"it cannot be read ({' '.join(str(error).split())[:120] or type(error).__name__})") from None
    nodes = _all(scene.nodes)
    if len(nodes) > MAX_NODES:
        raise Broken(f"it has {len(nodes)} nodes")
    order = {node.typed_id: k for k, node in enumerate(nodes)}
    above = []
    for node in nodes:
        parent = _held(node.parent)
        above.append(-1 if parent is None else order[parent.typed_id])
    kinds = [node.attrib_type for node in nodes]
    bones = [k for k, kind in enumerate(kinds) if kind == ufbx.ElementType.BONE and above[k] >= 0]
    if not bones:  # some mocap software writes plain nulls
        shown = (ufbx.ElementType.MESH, ufbx.ElementType.LIGHT, ufbx.ElementType.CAMERA)
        bones = [k for k, kind in enumerate(kinds) if kind not in shown and above[k] >= 0]
    joints, parents = _largest_tree(bones, above, nodes)
    take, note = _take(scene, clip)
    rate = float(scene.settings.frames_per_second)
    rate = rate if 1 <= rate <= 240 else 30.0
    begin, end = _span(scene, take)
    span = end - begin
    if not 0 <= span * rate <= MAX_FRAMES:
        raise Broken(f"its take {take.name[:40]} lasts {span:.3g} s")
    time_s = np.arange(int(span * rate + 1e-3) + 1) / rate
    rest = _rest(scene, nodes, joints)
    world = _world(ufbx, _held(take.anim), nodes, above, joints, time_s + begin)
    if not (np.isfinite(rest).all() and np.isfinite(world).all()):
        raise Broken("a bone is in no place that is a number")
    inside, end_joints, end_places = set(joints), [], []
    for k, joint in enumerate(joints):
        tips = [c for c, parent in enumerate(above) if parent == joint and c not in inside] if k not in parents else []
        if tips:
            move = nodes[tips[0]].local_transform.translation
            end_joints.append(k)
            end_places.append((rest[k] @ [move.x, move.y, move.z, 1.0])[:3])
    return {
        "names": np.array([nodes[k].name or f"bone {k}" for k in joints]),
        "parents": np.array(parents),
        "rest": rest,
        "world": world,
        "time_s": time_s,
        "end_joints": np.array(end_joints, np.int64),
        "end_places": np.array(end_places, np.float64).reshape(-1, 3),
        "note": np.array(note),
    }


def _held(element: Any) -> Any:
    """An element whose count is put right; None stays None."""
    if element is not None:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(element))
    return element


def _all(elements: Any) -> list:
    return [_held(elements[k]) for k in range(len(elements))]


def _largest_tree(bones: list[int], above: list[int], nodes: list) -> tuple[list[int], list[int]]:
    """The bones of the largest skeleton, parents first, and the position of each one's parent among them, or -1."""
    if not bones:
        raise Broken("it has no bones")
    inside = set(bones)
    parent_of, top_of = {}, {}
    for bone in sorted(bones, key=lambda k: nodes[k].node_depth):
        parent = above[bone]
        while parent >= 0 and parent not in inside:
            parent = above[parent]
        parent_of[bone] = parent
        top_of[bone] = bone if parent < 0 else top_of[parent]
    tops = list(top_of.values())
    largest = max(dict.fromkeys(tops), key=tops.count)
    kept = [bone for bone in parent_of if top_of[bone] == largest]
    place = {bone: k for k, bone in enumerate(kept)}
    return kept, [place.get(parent_of[bone], -1) for bone in kept]


def _take(scene: Any, wanted: str) -> tuple[Any, str]:
    takes = _all(scene.anim_stacks)
    names = [take.name for take in takes]
    listed = ", ".join(names)[:200]
    if not takes:
        raise Broken("it has no animation")
    if wanted:
        if wanted not in names:
            raise Broken(f'it has no take "{wanted}" (it has {listed})')
        return takes[names.index(wanted)], ""
    best = max(range(len(takes)), key=lambda k: takes[k].time_end - takes[k].time_begin)
    return takes[best], f"clip       {names[best]}, of {listed}" if len(takes) > 1 else ""


def _span(scene: Any, take: Any) -> tuple[float, float]:
    """Start and end of a take, seconds; those of all curves where the take says nothing."""
    if take.time_end > take.time_begin:
        return take.time_begin, take.time_end
    curves = [curve for curve in _all(scene.anim_curves) if len(curve.keyframes)]
    return min((c.min_time for c in curves), default=0.0), max((c.max_time for c in curves), default=0.0)


def _rest(scene: Any, nodes: list, joints: list[int]) -> np.ndarray:
    """(J, 4, 4): the bind pose where the file has one for every bone, else the pose outside its takes."""
    binds: dict[int, Any] = {}
    for cluster in _all(scene.skin_clusters):
        bone = _held(cluster.bone_node)
        if bone is not None:
            binds.setdefault(bone.typed_id, cluster.bind_to_world)
    for pose in _all(scene.poses):
        for place in _all(pose.bone_poses) if pose.is_bind_pose else ():
            binds.setdefault(_held(place.bone_node).typed_id, place.bone_to_world)
    whole = all(nodes[k].typed_id in binds for k in joints)
    out = np.tile(np.eye(4), (len(joints), 1, 1))
    for row, k in enumerate(joints):
        matrix = binds[nodes[k].typed_id] if whole else nodes[k].node_to_world
        for column, axis in enumerate((matrix.c0, matrix.c1, matrix.c2, matrix.c3)):
            out[row, :3, column] = axis.x, axis.y, axis.z
    return out


def _world(ufbx: Any, anim: Any, nodes: list, above: list[int], joints: list[int], time_s: np.ndarray) -> np.ndarray:
    """(T, J, 4, 4): all scales and the nodes above the bones worked in."""
    moved: dict[int, np.ndarray] = {}
    for joint in joints:
        way, k = [], joint
        while k >= 0 and k not in moved:
            way.append(k)
            k = above[k]
        for k in reversed(way):
            own = _local(ufbx, anim, nodes[k], time_s)
            moved[k] = own if above[k] < 0 else moved[above[k]] @ own
    return np.stack([moved[k] for k in joints], axis=1)


def _local(ufbx: Any, anim: Any, node: Any, time_s: np.ndarray) -> np.ndarray:
    seen = [ufbx.evaluate_transform(anim, node, float(time)) for time in time_s]
    x, y, z, w = np.array([[t.rotation.x, t.rotation.y, t.rotation.z, t.rotation.w] for t in seen]).T
    out = np.zeros((len(time_s), 4, 4))
    out[:, 0, :3] = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], 1)
    out[:, 1, :3] = np.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], 1)
    out[:, 2, :3] = np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], 1)
    out[:, :3, :3] *= np.array([[t.scale.x, t.scale.y, t.scale.z] for t in seen])[:, None, :]
    out[:, :3, 3] = [[t.translation.x, t.translation.y, t.translation.z] for t in seen]
    out[:, 3, 3] = 1
    return out


if __name__ == "__main__":
    code = 0
    try:
        arrays: dict[str, Any] = extract(sys.argv[1], sys.argv[2])
        np.savez(sys.argv[3], **arrays)
    except Broken as reason:
        print(str(reason).replace("\n", " "), flush=True)
        code = 3
    os._exit(code)  # without letting the scene's elements go, which are counted wrongly
