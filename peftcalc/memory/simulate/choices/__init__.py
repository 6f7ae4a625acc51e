"""What a named choice puts in the place of the usual step: losses, optimizers, kernels, formats of the base."""
