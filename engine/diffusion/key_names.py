"""How the releases name the tensors of the network, and how our modules do.

The 2D part has the same names everywhere (diffusers' `UNet2DConditionModel`). Motion modules are named after
AnimateDiff in the releases (`motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.1.to_q.bias`)
and after diffusers in ours (`motion_modules.0.transformer_blocks.0.attn2.to_q.bias`).
"""

import re

_MOTION = ".motion_modules."

_FROM_RELEASE = (
    (r"\.temporal_transformer\.", "."),
    (r"\.attention_blocks\.([01])\.pos_encoder\.pe$", lambda m: f".pos_embed{int(m[1]) + 1}.pe"),
    (r"\.attention_blocks\.([01])\.", lambda m: f".attn{int(m[1]) + 1}."),
    (r"\.norms\.([01])\.", lambda m: f".norm{int(m[1]) + 1}."),
    (r"\.ff_norm\.", ".norm3."),
)
_TO_RELEASE = (
    (r"(\.motion_modules\.\d+)\.", r"\1.temporal_transformer."),
    (r"\.pos_embed([12])\.pe$", lambda m: f".attention_blocks.{int(m[1]) - 1}.pos_encoder.pe"),
    (r"\.attn([12])\.", lambda m: f".attention_blocks.{int(m[1]) - 1}."),
    (r"\.norm3\.", ".ff_norm."),
    (r"\.norm([12])\.", lambda m: f".norms.{int(m[1]) - 1}."),
)


def from_release(key: str) -> str:
    """Turn a name of the releases into ours; names of ours stay what they are.

    Args:
        key: state dict key; AnimateDiff's leading "module." is dropped.
    """
    key = key.removeprefix("module.")
    return _rewrite(key, _FROM_RELEASE) if _MOTION in key else key


def to_release(key: str) -> str:
    """Turn a name of ours into the releases'; the inverse of `from_release`."""
    return _rewrite(key, _TO_RELEASE) if _MOTION in key else key


def from_diffusers(key: str) -> list[str]:
    """Turn a name of diffusers' own motion modules into ours: its one position table is both of ours."""
    if _MOTION in key and key.endswith(".pos_embed.pe"):
        return [key.replace(".pos_embed.pe", f".pos_embed{i}.pe") for i in (1, 2)]
    return [key]


def is_motion(key: str) -> bool:
    """Whether a tensor belongs to a motion module, in any of the namings."""
    return _MOTION in key


def _rewrite(key: str, rules: tuple) -> str:
    for pattern, name in rules:
        key = re.sub(pattern, name, key)
    return key
