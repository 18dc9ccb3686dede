ticketsearch check climber:Climber
