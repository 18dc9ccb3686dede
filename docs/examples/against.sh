ticketsearch compare --strategies sa --against mnist1d-wide --jobs 2
