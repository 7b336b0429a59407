"""USD: UsdSkel blend shapes over the bundled head or a stage of the user's, and vertices over time.

`scene` builds the layers, `cache` those of vertices; `usda` and `usdc` are the formats. Needs the extra `usd`.
"""
