ticketsearch report runs --archive mine.json.gz
ticketsearch verify mine.json.gz --sample 3
