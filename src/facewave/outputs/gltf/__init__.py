"""glTF 2.0, and VRM's animation format, which is made of it.

`document` holds a file, `curves` reads its animations, `weights` adds one; `glb`, `text` and `vrma` are the formats.
"""
