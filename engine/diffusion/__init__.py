"""The diffusion room: the MIMO network, its checkpoints and its sampling loop.

Import its modules by name and late: all but `windows`, `clips` and `prepare` begin with torch or diffusers.
"""
