ticketsearch predict --predictor overlap:MagnitudeAndGradient --predictor 'overlap:MagnitudeAndGradient(examples=200)' --predictor snip
