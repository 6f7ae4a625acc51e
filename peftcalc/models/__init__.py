"""What a model is made of: shapes of every weight; the bundled catalogue; any config.json or hub id."""

from peftcalc.models.files import parse_json

__all__ = ["parse_json"]
