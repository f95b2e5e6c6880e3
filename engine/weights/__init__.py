"""Weights of networks, by name: which there are, where they lie, what their bytes are, and how to get them."""

from engine.weights.find import Found, find, look, user_folder
from engine.weights.known import Weights, WeightsFile, get, groups, known
from engine.weights.remember import sha256_of

__all__ = ["Found", "Weights", "WeightsFile", "find", "get", "groups", "known", "look", "sha256_of", "user_folder"]
