"""Pure numerics of noise: readout error and shots."""
