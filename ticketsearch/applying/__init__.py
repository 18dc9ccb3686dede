"""A ticket put into a module of the user's: its weights loaded, its pruned weights held at zero.

``names`` finds a module's tensors under all of their names, ``loading`` puts values into them, ``holding`` keeps pruned
weights at zero for as long as the module is trained.
"""

from ticketsearch.applying.loading import apply_masks, load_state
from ticketsearch.applying.names import state_like, unwrapped

__all__ = ["apply_masks", "load_state", "state_like", "unwrapped"]
