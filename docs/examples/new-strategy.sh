ticketsearch new-strategy mine --kind search
pip install -e ./ticketsearch-mine
ticketsearch check mine
ticketsearch run --strategy mine --budget 200ep
ticketsearch report runs
