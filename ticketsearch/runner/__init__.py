"""One run, from the search to the confirmed ticket in its folder, and the check of a finished one.

``setup`` puts together what all steps share; ``search``, ``confirm``, ``curve`` and ``rounds`` are the steps, ``run``
puts them in order; ``verify`` executes them again, in part ``apart``, in a process of its own.
"""
