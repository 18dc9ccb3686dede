ticketsearch run --strategy ga --set population=512 --executor ray                      # a cluster of this machine's own
ticketsearch compare study.toml --executor ray --ray-address head:6379 --out /shared/runs   # keys in a study: executor, ray_address
