ticketsearch run --strategy early-bird --granularity channel --sparsity 0.5 --task cifar10-resnet20 --set start=draw
ticketsearch run --strategy early-bird --granularity channel --sparsity 0.5 --task fashion-conv2 --set criterion=large_final --set scope=layer
ticketsearch run --strategy ga --granularity 2:4
