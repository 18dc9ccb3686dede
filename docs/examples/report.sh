ticketsearch report runs
ticketsearch report runs --html report.html --csv runs.csv --archive runs.json.gz
ticketsearch report runs.json.gz --markdown
