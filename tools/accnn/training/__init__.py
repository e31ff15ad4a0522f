"""Fine-tuning: a loss on any network, images in an order that repeats, epochs that can be resumed exactly."""
