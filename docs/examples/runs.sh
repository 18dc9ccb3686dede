ticketsearch runs list runs
ticketsearch runs list runs --state failed
ticketsearch runs show RUN
