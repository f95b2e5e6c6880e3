"""The diffusion room: the MIMO network, its checkpoints, its sampling loop, and the pictures on their way in and out.

Import its modules by name and late: those of the network begin with torch or diffusers.
"""
