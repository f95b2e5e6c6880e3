"""The animator room: a puppet moves, is lit, casts a shadow and becomes pixels."""
