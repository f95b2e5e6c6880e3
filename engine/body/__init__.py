"""Bodies and skeletons: the embedded body, the SMPL family, and motion files of any rig."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.body.family import SmplBody
    from engine.body.model import Body


def load_body(path: "str | os.PathLike | None" = None) -> "Body | SmplBody":
    """Read a body.

    Args:
        path: an SMPL, SMPL-H or SMPL-X file of the user's (.npz, .pkl); None is the embedded body.

    Returns:
        Both kinds have `vertices`, `faces`, `joints`, `rest(shape)` and `pose(rotvec, root_m, shape)`, in our joints.

    Raises:
        InputError: the file cannot be used; says why.
    """
    if path is None:
        from engine.body.model import load_body as embedded

        return embedded()
    from engine.body.family import load_smpl

    return load_smpl(path)
