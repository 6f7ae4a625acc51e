"""What commands share that train: what an interruption does, and what the history keeps."""
