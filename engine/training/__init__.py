"""The training room: recipe, data, objective, trainer, checkpoints. From shards of clips to the paper's network.

Import its modules by name and late: most begin with torch.
"""
