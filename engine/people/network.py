"""The BlazePose networks as functions of an image, run by LiteRT."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import MissingError

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "blazepose"
"""Where engine/people/build_hook.py puts the networks when the package is built."""

_HUSHED = threading.Lock()


class Network:
    """One .tflite file, loaded.

    Args:
        name: of the file in `FOLDER`.
        threads: that share the work of one picture; no effect on the result. It pays where one picture is waited for:
            9 ms on two instead of 14 on one for the landmarks (256x256), at the price of a tenth more work.

    Raises:
        MissingError: the file is not there, or LiteRT is not installed.
    """

    def __init__(self, name: str, *, threads: int = 1) -> None:
        path = FOLDER / name
        if not path.is_file():
            raise MissingError(
                f"the network {name} is missing from {FOLDER}.",
                "Type `pip install .` in mimo's folder (or `python engine/people/build_hook.py` in a checkout).",
            )
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise MissingError(
                "LiteRT, which runs the pose networks, is not installed.", "Type: pip install ai-edge-litert"
            ) from error
        with _hush():
            self._interpreter = Interpreter(str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        self._running = threading.Lock()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [detail["index"] for detail in self._interpreter.get_output_details()]

    def run(self, image: NDArray) -> list[NDArray]:
        """Run the network once; threads wait for each other.

        Args:
            image: (H, W, 3) float32 of the size and range the network was trained with.

        Returns:
            The network's outputs in its own order, without the batch axis, float32.
        """
        with self._running:
            self._interpreter.set_tensor(self._input, np.ascontiguousarray(image[None], dtype=np.float32))
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(index)[0] for index in self._outputs]


@contextmanager
def _hush() -> Iterator[None]:
    """LiteRT greets on the terminal from C++, below Python's reach; for these milliseconds nothing else is heard.

    One thread at a time: a second one would keep the silence of the first, and bring that back for good.
    """
    with _HUSHED:
        sys.stderr.flush()
        kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)
