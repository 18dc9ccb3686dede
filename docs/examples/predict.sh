ticketsearch predictors
ticketsearch predict --sparsity 0.98 --count 32 --seeds 0-9
ticketsearch predict --population initialisations --counts RUN --html predictors.html
ticketsearch predict --runs runs --predictor 'snip(steps=100)' --predictor loss-after
ticketsearch run --strategy sa --set 'score=snip(steps=100)'
