"""Clips that know their own truth: masks, scene, occluder, depth, joints, camera and motion of every pixel we drew."""
