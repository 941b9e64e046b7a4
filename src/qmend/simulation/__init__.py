"""The batched simulator: channels as Pauli transfer matrices, compiled programs, shots."""
