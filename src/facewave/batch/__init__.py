"""Many clips at once: `local.py` on the processes of this machine, `ray.py` on a cluster through Ray Data."""
