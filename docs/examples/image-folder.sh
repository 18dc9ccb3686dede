ticketsearch run --strategy imp --set rounds=3 --budget 3ep --orders 1 --checkpoints 0 \
    --task image-folder --data-root ~/data --task-set root=my-images --task-set network=resnet-20 --task-set epochs=1
