"""From one picture of a character to a body that can move: cutout, joints, lift, skin weights, files."""
