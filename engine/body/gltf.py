"""glTF 2.0 animation (.glb, .gltf): the skeleton of the largest skin, or of the moving nodes, and one of its clips.

Source: Khronos glTF 2.0 specification, sections 3.6 (accessors, sparse and normalized ones too), 3.7.3 (skins) and 3.11
(animations: LINEAR, STEP and CUBICSPLINE).
"""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.body.curves import clock, nearest_turns, quaternion_matrix, sample_turns, sample_values
from engine.body.gltf_file import GltfFile
from engine.body.skeleton import Animation, animation_of
from engine.geometry import matrix_to_quaternion

MAX_NODES = 20_000


def read_gltf(path: str | os.PathLike, *, clip: str = "") -> tuple[Animation, list[str]]:
    """Read the animation of a glTF file.

    Args:
        path: .glb, or .gltf with its buffers beside it.
        clip: name of one of its animations; "" takes the longest.

    Returns:
        The animation (y up and metres, as glTF has it; rest pose from the skin's bind matrices), and notes on what was
        chosen.

    Raises:
        InputError: it is no glTF 2.0, has no animation or no skeleton, or breaks the format; says where.
    """
    file = GltfFile(Path(path))
    chosen, name, notes = _clip(file, clip)
    nodes = _Nodes(file)
    joints, binds = _joints(file, nodes, chosen)
    order = sorted(range(len(joints)), key=lambda k: nodes.rank[joints[k]])
    joints, binds = [joints[k] for k in order], None if binds is None else binds[order]
    return _sampled(file, nodes, chosen, name, joints, binds), notes


class _Nodes:
    """The tree of nodes with their own transforms."""

    def __init__(self, file: GltfFile) -> None:
        self.file = file
        nodes = file.all("nodes")
        if not 0 < len(nodes) <= MAX_NODES:
            raise file.wrong(f"it has {len(nodes)} nodes")
        self.parents = [-1] * len(nodes)
        self.names, self.moves, self.turns, self.scales = [], [], [], []
        for index in range(len(nodes)):
            node, here = file.item("nodes", index, "the scene"), f"node {index}"
            for child in file.get(node, "children", list, here, []):
                file.item("nodes", child, here)
                if self.parents[child] >= 0 or child == index:
                    raise file.wrong(f"node {child} hangs on two nodes")
                self.parents[child] = index
            self.names.append(str(node.get("name", here))[:200])
            move, turn, scale = self._transform(node, here)
            self.moves.append(move)
            self.turns.append(turn)
            self.scales.append(scale)
        self.order = self._from_roots()

    def _transform(self, node: dict, here: str) -> tuple[NDArray, NDArray, NDArray]:
        """Translation (3,), unit quaternion xyzw (4,) and scale (3,)."""
        if "matrix" in node:
            matrix = self._numbers(node, "matrix", 16, here).reshape(4, 4).T
            scale = np.linalg.norm(matrix[:3, :3], axis=0)
            if scale.min() < 1e-12:
                raise self.file.wrong(f"{here}: its matrix is flat")
            turn = matrix[:3, :3] / scale
            if np.linalg.det(turn) < 0:
                scale, turn = scale * [-1, 1, 1], turn * [-1, 1, 1]
            return matrix[:3, 3], matrix_to_quaternion(turn)[[1, 2, 3, 0]], scale
        parts = [
            self._numbers(node, key, len(plain), here) if key in node else np.array(plain, np.float64)
            for key, plain in (("translation", (0, 0, 0)), ("rotation", (0, 0, 0, 1)), ("scale", (1, 1, 1)))
        ]
        length = np.linalg.norm(parts[1])
        if length < 1e-6:
            raise self.file.wrong(f"{here}: its rotation is zero")
        return parts[0], parts[1] / length, parts[2]

    def _numbers(self, node: dict, key: str, count: int, here: str) -> NDArray:
        values = self.file.get(node, key, list, here)
        plain = len(values) == count and all(isinstance(v, int | float) and abs(v) < 1e12 for v in values)
        if not plain:
            raise self.file.wrong(f"{here}: {key} is not {count} numbers a body can have")
        return np.array(values, np.float64)

    def _from_roots(self) -> list[int]:
        """All nodes, parents before children."""
        children: list[list[int]] = [[] for _ in self.parents]
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                children[parent].append(node)
        self.children = children
        order = [node for node, parent in enumerate(self.parents) if parent < 0]
        for node in order:
            order += children[node]
        if len(order) != len(self.parents):
            raise self.file.wrong("its nodes hang on each other in a ring")
        self.rank = {node: k for k, node in enumerate(order)}
        return order

    def above(self, node: int, joints: set[int]) -> int:
        """The nearest ancestor that is a joint, or -1."""
        node = self.parents[node]
        while node >= 0 and node not in joints:
            node = self.parents[node]
        return node


def _clip(file: GltfFile, wanted: str) -> tuple[dict, str, list[str]]:
    """The animation to read, its name, and what to say about the choice."""
    clips = [file.item("animations", k, "the file") for k in range(len(file.all("animations")))]
    if not clips:
        raise file.wrong("it has no animation")
    names = [str(clip.get("name", f"animation {k}")) for k, clip in enumerate(clips)]
    if wanted:
        if wanted not in names:
            raise file.wrong(f'it has no animation "{wanted}" (it has {", ".join(names)[:200]})')
        return clips[names.index(wanted)], wanted, []
    ends = []
    for k, clip in enumerate(clips):
        samplers = file.get(clip, "samplers", list, f"animation {k}")
        times = [file.accessor(s.get("input"), f"animation {k}", ("SCALAR",)) for s in samplers if isinstance(s, dict)]
        ends.append(max((float(t.max() - t.min()) for t in times), default=0.0))
    best = int(np.argmax(ends))
    notes = [f"clip       {names[best]}, of {', '.join(names)[:200]}"] if len(clips) > 1 else []
    return clips[best], names[best], notes


def _joints(file: GltfFile, nodes: _Nodes, clip: dict) -> tuple[list[int], NDArray | None]:
    """The nodes of the skeleton, one root, and their bind matrices (J, 4, 4) or None."""
    skins = [file.item("skins", k, "the file") for k in range(len(file.all("skins")))]
    skins = [(file.get(skin, "joints", list, f"skin {k}"), skin) for k, skin in enumerate(skins)]
    if skins:
        joints, skin = max(skins, key=lambda s: len(s[0]))
        for joint in joints:
            file.item("nodes", joint, "a skin")
        if len(set(joints)) != len(joints) or not joints:
            raise file.wrong("its skin names a joint twice, or none")
        binds = None
        if "inverseBindMatrices" in skin:
            inverse = file.accessor(skin["inverseBindMatrices"], "a skin", ("MAT4",))
            if len(inverse) < len(joints):
                raise file.wrong(f"its skin has {len(joints)} joints and {len(inverse)} bind matrices")
            inverse = np.swapaxes(inverse[: len(joints)].reshape(-1, 4, 4), 1, 2)
            if np.abs(np.linalg.det(inverse[:, :3, :3])).min() < 1e-18:
                raise file.wrong("a bind matrix of its skin is flat")
            binds = np.linalg.inv(inverse)
    else:
        moving = {channel.get("target", {}).get("node") for channel in clip.get("channels", ())
                  if isinstance(channel, dict) and isinstance(channel.get("target"), dict)}  # fmt: skip
        tops = [node for node in nodes.order if node in moving and nodes.above(node, moving) < 0]  # type: ignore[arg-type]
        joints, binds = [n for top in tops for n in _under(nodes, top)], None
        if not joints:
            raise file.wrong("its animation moves no node")
    kept = set(joints)
    tops = [node for node in joints if nodes.above(node, kept) < 0]
    tree = max((kept.intersection(_under(nodes, top)) for top in tops), key=len)
    one = [k for k, node in enumerate(joints) if node in tree]
    return [joints[k] for k in one], None if binds is None else binds[one]


def _under(nodes: _Nodes, top: int) -> list[int]:
    found = [top]
    for node in found:
        found += nodes.children[node]
    return found


def _sampled(
    file: GltfFile, nodes: _Nodes, clip: dict, name: str, joints: list[int], binds: NDArray | None
) -> Animation:
    """One clip on the joints, all scales and the nodes above them worked in."""
    curves = _curves(file, clip, name)
    time_s = clock([times for times, _, _ in curves.values()])
    if time_s is None:
        raise file.wrong(f"animation {name} has no frames, or times that make no sense")
    needed = sorted({n for joint in joints for n in _way_up(nodes, joint)}, key=nodes.rank.__getitem__)
    at_rest, moved = {}, {}
    for node in needed:
        still = _matrices(nodes.moves[node][None], nodes.turns[node][None], nodes.scales[node][None])
        parts = [
            sample(*curves[node, key], time_s) if (node, key) in curves else plain[None]
            for key, plain, sample in (
                ("translation", nodes.moves[node], sample_values),
                ("rotation", nodes.turns[node], sample_turns),
                ("scale", nodes.scales[node], sample_values),
            )
        ]
        own = _matrices(*parts)
        parent = nodes.parents[node]
        at_rest[node] = still[0] if parent < 0 else at_rest[parent] @ still[0]
        moved[node] = own if parent < 0 else moved[parent] @ own
    rest = np.stack([at_rest[j] for j in joints]) if binds is None else binds
    world = np.stack([np.broadcast_to(moved[j], (len(time_s), 4, 4)) for j in joints], axis=1)
    index, kept = {node: k for k, node in enumerate(joints)}, set(joints)
    parents = tuple(index.get(nodes.above(joint, kept), -1) for joint in joints)
    ends = []
    for k, joint in enumerate(joints):
        tips = [c for c in nodes.children[joint] if "mesh" not in file.item("nodes", c, "a node")]
        if tips and k not in parents:
            ends.append((k, (rest[k] @ [*nodes.moves[tips[0]], 1.0])[:3]))
    return animation_of(
        tuple(nodes.names[j] for j in joints),
        parents,
        rest=(rest[:, :3, 3], nearest_turns(rest[:, :3, :3])),
        world=(world[..., :3, 3], nearest_turns(world[..., :3, :3])),
        time_s=time_s - time_s[0],
        ends=tuple(ends),
    )


def _way_up(nodes: _Nodes, node: int) -> list[int]:
    way = []
    while node >= 0:
        way.append(node)
        node = nodes.parents[node]
    return way


def _curves(file: GltfFile, clip: dict, name: str) -> dict[tuple[int, str], tuple[NDArray, NDArray, str]]:
    """(node, path) -> times (K,), values (K, 3 | 4) or (K, 3, 3 | 4) of cubic splines, and the interpolation."""
    curves = {}
    samplers = file.get(clip, "samplers", list, f"animation {name}")
    for k, channel in enumerate(file.get(clip, "channels", list, f"animation {name}")):
        here = f"animation {name[:40]}, channel {k}"
        target = file.get(channel, "target", dict, here)
        width = {"translation": 3, "rotation": 4, "scale": 3}.get(str(target.get("path")))
        if width is None or "node" not in target:
            continue  # weights of morph targets, and what extensions move
        file.item("nodes", target["node"], here)
        number = channel.get("sampler")
        if not isinstance(number, int) or not 0 <= number < len(samplers) or not isinstance(samplers[number], dict):
            raise file.wrong(f"{here} points to sampler {str(number)[:20]} of {len(samplers)}")
        sampler = samplers[number]
        times = file.accessor(sampler.get("input"), here, ("SCALAR",))[:, 0]
        values = file.accessor(sampler.get("output"), here, ("VEC4",) if width == 4 else ("VEC3",))
        way = str(sampler.get("interpolation", "LINEAR"))
        per_key = 3 if way == "CUBICSPLINE" else 1
        if way not in ("LINEAR", "STEP", "CUBICSPLINE") or len(values) != per_key * len(times):
            raise file.wrong(f"{here}: {len(times)} times and {len(values)} values of {way[:20]}")
        if (np.diff(times) <= 0).any() or np.abs(values).max() > 1e7:
            raise file.wrong(f"{here}: its times do not rise, or a value is {np.abs(values).max():.3g}")
        curves[target["node"], str(target["path"])] = (
            times, values.reshape(len(times), 3, width) if per_key == 3 else values, way,
        )  # fmt: skip
    return curves


def _matrices(move: NDArray, turn: NDArray, scale: NDArray) -> NDArray:
    """(N, 4, 4) from (N, 3), (N, 4) and (N, 3); each may have one row for all."""
    num = max(len(move), len(turn), len(scale))
    out = np.zeros((num, 4, 4))
    out[:, :3, :3] = quaternion_matrix(turn) * scale[:, None, :]
    out[:, :3, 3] = move
    out[:, 3, 3] = 1
    return out
