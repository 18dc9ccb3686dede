ticketsearch check my_tasks:two_moons
ticketsearch run --strategy imp --task my_tasks:two_moons
