ticketsearch encodings
ticketsearch encodings show neurons
ticketsearch run --strategy cma-es --set encoding=degrees
ticketsearch run --strategy ga --set 'encoding=neurons(alpha=0.5)' --set start=erk
ticketsearch run --strategy cma-es --set orders=fresh --set score=loss --fidelity 100step..400step
