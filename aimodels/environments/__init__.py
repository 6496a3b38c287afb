"""Environments: what agents act in, as pure functions. Imports nothing above it.

They are made by name from the table below, or are a user's own as `package.module:Name`.
"""

ENVIRONMENTS: dict[str, str] = {
    "atari": "aimodels.environments.atari:Atari",
    "bsuite": "aimodels.environments.bsuite:Bsuite",
    "gymnasium": "aimodels.environments.gymnasium:Gymnasium",
    "gymnax": "aimodels.environments.gymnax:Gymnax",
    "pgx": "aimodels.environments.games:Pgx",
    "toy_text": "aimodels.environments.toy_text:ToyText",
}
