"""All that lies on disk: where it lies, how it is written, and what is read back.

``folder`` knows the names and checks what is found, ``files`` writes so that a reader never sees half a file. ``spec``,
``ledger``, ``results``, ``ticket_file`` and ``resume`` are what a run leaves; ``provenance`` says what made it.
"""
