"""Records what a training run reads and makes, from inside the program that trains."""
