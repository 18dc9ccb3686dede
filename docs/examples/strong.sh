ticketsearch strong --task circles --task-set hidden=50,50 --task-set examples=1000 --seeds 0-1 --generations 20
