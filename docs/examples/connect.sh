ticketsearch connect RUN --html connect.html
ticketsearch connect RUN --compare orders,dense --from-steps 0,5%,50%
