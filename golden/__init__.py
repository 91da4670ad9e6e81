"""The golden model: supermask networks in PyTorch, their integers, codes and files. Imports nothing from hw."""
