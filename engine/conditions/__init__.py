"""What a network is shown of a motion: the posed body drawn with fixed colours, frame by frame."""
