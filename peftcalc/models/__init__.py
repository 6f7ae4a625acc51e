"""What a model is made of: shapes of every weight; the bundled catalogue; any config.json or hub id.

`load` the one door · `catalogue`, `hub`, `files` where a configuration comes from, `other_files` what is given in its
place · `classes` which class it is counted as, `tasks` which one a task loads · `limits`, `without_parameters` what it
may say and what does not matter · `build` the model, `towers` parts of another library, `fields` what was not read or
filled in · `read` its weights, `shapes` the record, `parts`, `experts` names in it.
"""

from peftcalc.models.files import parse_json

__all__ = ["parse_json"]
