ticketsearch run --strategy imp --keep output --keep 'hidden1*'
