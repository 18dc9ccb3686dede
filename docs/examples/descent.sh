ticketsearch descent --task-set label_noise=0.2 --seeds 0-4 --archive descent.json.gz --svg descent.svg
ticketsearch report runs --html report.html --beside descent.json.gz
