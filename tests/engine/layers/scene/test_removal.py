import numpy as np

from engine.layers.scene.removal import Together, sort_out
from engine.types import ArraySource


def test_what_stays_and_what_goes():
    front, props = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    front[:, :6], props[:, 4:12] = 255, 255
    kept, gone = sort_out(front, props, keep=False)
    assert (kept == front).all() and not gone[:, :8].any() and (gone[:, 8:12] == 255).all()  # two pixels apart
    kept, gone = sort_out(front, props, keep=True)
    assert (kept[:, :6] == 255).all() and (kept[:, 8:12] == 255).all() and not gone.any()
    both = list(Together(ArraySource(front[None]), ArraySource(props[None])).read())
    assert len(both) == 1 and (both[0][:, :12] == 255).all() and not both[0][:, 12:].any()
