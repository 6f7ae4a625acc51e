"""What a model is made of: shapes of every weight; the bundled catalogue; any config.json or hub id."""
