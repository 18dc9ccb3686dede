ticketsearch run --strategy imp --sparsity 0.9648 --budget 45ep --keep output --data-root ~/data --task mnist-lenet \
    --task-set epochs=3 --task-set optimizer=sgd --task-set learning_rate=0.1 --task-set batch_size=128 --task-set init=kaiming
