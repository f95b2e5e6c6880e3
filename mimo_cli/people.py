"""Everybody of a video, for who has to say which one is meant."""

from collections.abc import Collection

import numpy as np

from mimo_cli import console, slots, tables
from mimo_cli.project import Project


def list_people(project: Project, redo: Collection[str] = (), *, dry_run: bool = False) -> None:
    """Print everybody of the video, and the path of the sheet that shows them."""
    made = project.run((slots.ROSTER, slots.TRACKS, slots.OTHERS, slots.CLIP), redo=redo, dry_run=dry_run)
    if dry_run:
        return
    num_frames = tables.read_clip(made[slots.CLIP]).num_frames
    everybody = {number: tracks for number, (tracks, _) in tables.read_others(made[slots.OTHERS], num_frames).items()}
    chosen = next(number for number in range(1, len(everybody) + 2) if number not in everybody)
    everybody[chosen] = tables.read_tracks(made[slots.TRACKS], num_frames)
    rows, listed = [], []
    for number, tracks in sorted(everybody.items()):
        seen = np.flatnonzero(tracks.score > 0)
        x0, y0, x1, y1 = tracks.box_px[seen[0]].tolist()
        place = f"{(x0 + x1) / 2:.0f},{(y0 + y1) / 2:.0f}"
        taken = ", taken" if number == chosen else ""
        rows.append((str(number), f"in {len(seen)} of {num_frames} frames", f"at {place} in frame {seen[0]}{taken}"))
        facts = {"number": number, "frames": len(seen), "first_frame": int(seen[0])}
        listed.append({**facts, "box_px": [x0, y0, x1, y1], "chosen": number == chosen})
    console.current().table(rows)
    console.current().result(made[slots.ROSTER], people=listed)
