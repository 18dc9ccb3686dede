ticketsearch export RUN --format compact --output ticket.pt2            # torch.export.load("ticket.pt2").module()
ticketsearch export RUN --format onnx --output ticket.onnx              # any number of examples; needs the extra: onnx
ticketsearch export RUN --format state-dict --output ticket.safetensors # or ticket.pt; zeros where pruned
ticketsearch export RUN --format torch-prune --output ticket.pt         # weight_orig and weight_mask
