"""What hardware and software share and nothing else: the engine's parameters, its descriptors and its latencies."""
