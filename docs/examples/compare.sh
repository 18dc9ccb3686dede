ticketsearch compare --strategies imp,ga,sa --sparsities 0.8,0.9 --seeds 0-9 --out runs/mine
ticketsearch report runs/mine --html report.html
