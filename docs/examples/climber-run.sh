pip install ./ticketsearch-climber
ticketsearch run --strategy climber --set neighbours=32
