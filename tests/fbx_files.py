"""A writer of small FBX text files, version 7.4, as Mixamo's are laid out: limb nodes, one take, Euler curves."""

import numpy as np
from scipy.spatial.transform import Rotation

TICKS = 46186158000  # of FBX's clock in a second


def write_fbx(path, animation, *, pre_turn=None, scale=1.0, takes=("mixamo.com",), armature=None, lines=None):
    """Save an animation.

    Args:
        path: the file.
        animation: a `Skeleton` that moves.
        pre_turn: joint -> (3, 3) turn of its own axes at rest, written as PreRotation.
        scale: of the units.
        takes: names of the takes; each holds the same curves.
        armature: (3, 3) turn of a null above the root, as Blender writes it.
        lines: called with the list of lines before it is saved.
    """
    names, parents = animation.skeleton.names, animation.skeleton.parents
    rate = round(1 / float(np.diff(animation.time_s).mean())) if len(animation.time_s) > 1 else 30
    pre = [np.eye(3) if pre_turn is None else pre_turn.get(name, np.eye(3)) for name in names]
    # The joint's own axes at rest are the product of all pre-turns down to it.
    own = []
    for j, parent in enumerate(parents):
        own.append((own[parent] if parent >= 0 else np.eye(3)) @ pre[j])
    objects, links, models = [], [], {}
    top = 0
    if armature is not None:
        top = 50
        angles = Rotation.from_matrix(armature).as_euler("xyz", degrees=True)
        objects.append(_model(top, "Armature", "Null", np.zeros(3), angles))
        links.append((top, 0, ""))
    for j, parent in enumerate(parents):
        models[j] = 1000 + j
        above = own[parent] if parent >= 0 else np.eye(3)
        offset = above.T @ animation.skeleton.offsets[j] * scale
        angles = Rotation.from_matrix(pre[j]).as_euler("xyz", degrees=True)
        objects.append(
            f'NodeAttribute: {5000 + j}, "NodeAttribute::{names[j]}", "LimbNode" {{ TypeFlags: "Skeleton" }}'
        )
        objects.append(_model(models[j], names[j], "LimbNode", offset, np.zeros(3), angles))
        links += [(5000 + j, models[j], ""), (models[j], models[parent] if parent >= 0 else top, "")]
    for t, take in enumerate(takes):
        _take(objects, links, 10_000 + 5000 * t, take, animation, models, own, pre, scale)
    out = _header(rate, len(names))
    out += ["Objects: {", *objects, "}", "Connections: {"]
    for child, parent, prop in links:
        out.append(f'C: "{"OP" if prop else "OO"}",{child},{parent}' + (f', "{prop}"' if prop else ""))
    out += ["}"]
    text = [line for block in out for line in block.split("\n")]
    if lines is not None:
        lines(text)
    path.write_text("\n".join(text) + "\n")
    return path


def _header(rate, _):
    modes = {24: 11, 25: 10, 30: 6, 60: 3, 120: 1}
    custom = rate if rate not in modes else -1
    return [
        "; FBX 7.4.0 project file",
        "FBXHeaderExtension: { FBXHeaderVersion: 1003\nFBXVersion: 7400\n}",
        "GlobalSettings: { Version: 1000\nProperties70: {",
        'P: "UpAxis", "int", "Integer", "",1\nP: "UpAxisSign", "int", "Integer", "",1',
        'P: "FrontAxis", "int", "Integer", "",2\nP: "FrontAxisSign", "int", "Integer", "",1',
        'P: "CoordAxis", "int", "Integer", "",0\nP: "CoordAxisSign", "int", "Integer", "",1',
        'P: "UnitScaleFactor", "double", "Number", "",1',
        f'P: "TimeMode", "enum", "", "",{modes.get(rate, 14)}\nP: "CustomFrameRate", "double", "Number", "",{custom}',
        "}\n}",
    ]


def _model(number, name, kind, offset, angles, pre=None):
    rows = [f'Model: {number}, "Model::{name}", "{kind}" {{', "Version: 232", "Properties70: {"]
    if pre is not None:
        rows.append(f'P: "PreRotation", "Vector3D", "Vector", "",{_three(pre)}')
        rows.append('P: "RotationActive", "bool", "", "",1')
    rows.append(f'P: "Lcl Translation", "Lcl Translation", "", "A",{_three(offset)}')
    rows.append(f'P: "Lcl Rotation", "Lcl Rotation", "", "A",{_three(angles)}')
    return "\n".join([*rows, "}", "}"])


def _three(values):
    return ",".join(f"{v:.9g}" for v in values)


def _take(objects, links, base, name, animation, models, own, pre, scale):
    last = round(float(animation.time_s[-1]) * TICKS)
    objects.append(
        f'AnimationStack: {base}, "AnimStack::{name}", "" {{\nProperties70: {{\n'
        f'P: "LocalStart", "KTime", "Time", "",0\nP: "LocalStop", "KTime", "Time", "",{last}\n}}\n}}'
    )
    objects.append(f'AnimationLayer: {base + 1}, "AnimLayer::BaseLayer", "" {{\n}}')
    links.append((base + 1, base, ""))
    number = base + 2
    for j, parent in enumerate(animation.skeleton.parents):
        # our local turn, seen in the joint's own axes: pre' above' R own = what FBX calls Lcl Rotation
        above = own[parent] if parent >= 0 else np.eye(3)
        local = (above @ pre[j]).T @ animation.rotations[:, j] @ own[j]
        angles = np.unwrap(Rotation.from_matrix(local).as_euler("xyz"), axis=0)
        curves = [("R", "Lcl Rotation", np.degrees(angles))]
        if parent < 0:
            curves.append(("T", "Lcl Translation", animation.positions[:, j] * scale))
        for kind, prop, values in curves:
            node = number
            objects.append(f'AnimationCurveNode: {node}, "AnimCurveNode::{kind}", "" {{\n}}')
            links += [(node, base + 1, ""), (node, models[j], prop)]
            for axis in range(3):
                curve = number + 1 + axis
                objects.append(_curve(curve, animation.time_s, values[:, axis]))
                links.append((curve, node, f"d|{'XYZ'[axis]}"))
            number += 4


def _curve(number, time_s, values):
    times = ",".join(str(round(float(t) * TICKS)) for t in time_s)
    keys = ",".join(f"{v:.9g}" for v in values)
    num = len(values)
    return (
        f'AnimationCurve: {number}, "AnimCurve::", "" {{\nDefault: 0\nKeyVer: 4008\n'
        f"KeyTime: *{num} {{\na: {times}\n}}\nKeyValueFloat: *{num} {{\na: {keys}\n}}\n"
        f"KeyAttrFlags: *1 {{\na: 24836\n}}\nKeyAttrDataFloat: *4 {{\na: 0,0,218434821,0\n}}\n"
        f"KeyAttrRefCount: *1 {{\na: {num}\n}}\n}}"
    )
