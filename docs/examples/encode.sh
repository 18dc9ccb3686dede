ticketsearch encode RUN
ticketsearch encode RUN --encoding neurons --encoding 'degrees(alpha=0.5)'
