import ticketsearch
from ticketsearch.tasks.networks import mlp

result = ticketsearch.run("imp", sparsity=0.9, budget="60ep", seed=0, settings={"rounds": 3}, orders=1)
print(result.test_accuracy, result.random_test_accuracy, result.cost.epochs)

ticket = ticketsearch.load_ticket(result.run)  # mask, start weights, trained weights; safetensors, no pickle
network = ticket.apply(mlp(40, 100, 100, 10), trained=True)  # holds pruned weights at zero, also if you train on
masks = ticket.masks()  # layer name -> boolean array
