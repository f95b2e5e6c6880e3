"""HMR 2.0 (4D-Humans): a body's pose, shape and camera from one picture of a person.

Source: Goel et al. 2023, "Humans in 4D: Reconstructing and Tracking Humans with Transformers".
"""
