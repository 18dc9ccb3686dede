"""How a black-box searcher writes a mask down. Every genome decodes to exactly n kept units.

``swap``               the mask itself, as packed bits; a move swaps kept units for pruned ones.
``neurons``            one number for each neuron: how much it keeps of what comes in and goes out.
``degrees``            two numbers for each neuron, fan-in and fan-out apart.
``low-rank``           initial weights plus a matrix of low rank.
``layer-density``      one number for each layer, its share of the kept units; a criterion chooses within the layer.
``criterion-mixture``  one weight for each criterion; the mixture of their ranks chooses globally.
``seeded``             a neighbourhood of a criterion's mask.

All but the first are vectors of a few numbers up to a few thousand, which is what samplers such as CMA-ES and TPE can
handle; one parameter for each weight is not. Others are found through the entry points ``ticketsearch.encodings``.
"""

from ticketsearch.masks.encodings.base import (
    EncodedProblem,
    Encoding,
    EncodingSettings,
    Genome,
    ScoreEncoding,
    Start,
    VectorEncoding,
)

__all__ = [
    "EncodedProblem",
    "Encoding",
    "EncodingSettings",
    "Genome",
    "ScoreEncoding",
    "Start",
    "VectorEncoding",
]
