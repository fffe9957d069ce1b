"""`autoreg schema`: the JSON Schema of spaces and studies."""

from __future__ import annotations

import json

from autoreg.commands.options import Imports, import_first


def schema(import_: Imports = []) -> None:  # noqa: B006
    """Print the JSON Schema of spaces and studies, for editors."""
    import_first(import_)
    from autoreg.methods import registry
    from autoreg.space import schema as json_schema

    print(json.dumps(json_schema(registry()), indent=1))
