"""Masks: which weights of a network are kept, and everything that can be said of them without training.

A mask is a boolean array of shape ``(D,)``, a population ``(P, D)``; True = kept. *Sparsity is the fraction pruned.*
``space`` lays the D bits out and chooses and changes masks, ``bits`` are the operations beneath it, ``units`` says what
a bit stands for. ``criteria``, ``densities``, ``encodings``, ``actions`` and ``controls`` are what strategies are built
of; ``ticket`` is a mask with the weights it starts from.
"""

from ticketsearch.masks.bits import digest, hamming, pack, ranked_within, swap, top_n, unpack
from ticketsearch.masks.densities import apportion, fill_densities
from ticketsearch.masks.sampling import random_like, random_per_layer, top_per_layer
from ticketsearch.masks.space import Layer, MaskSpace

__all__ = [
    "Layer",
    "MaskSpace",
    "apportion",
    "digest",
    "fill_densities",
    "hamming",
    "pack",
    "random_like",
    "random_per_layer",
    "ranked_within",
    "swap",
    "top_n",
    "top_per_layer",
    "unpack",
]
