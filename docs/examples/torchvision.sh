ticketsearch run --strategy magnitude --task my_images:colours --sparsity 0.5
ticketsearch run --strategy ga --task my_images:colours --task-set steps=10 --sparsity 0.5
