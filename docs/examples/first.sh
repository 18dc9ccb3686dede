python -m pip install . && ticketsearch run --strategy ga
