import ticketsearch
from ticketsearch.tasks.networks import mlp

result = ticketsearch.run("magnitude", sparsity=0.9, budget="60ep", orders=1)
ticket = ticketsearch.load_ticket(result.run)
network = ticket.apply(mlp(40, 100, 100, 10), trained=True)  # its pruned weights are zero, and stay so in training
print(f"{ticket.sparsity:.2f} of the weights pruned, {100 * result.test_accuracy:.1f} % on the test split")
