ticketsearch check rows:Rows
ticketsearch run --strategy cma-es --set 'encoding=rows:Rows(alpha=1.0)'
ticketsearch run --strategy ga --set encoding=rows:Rows
