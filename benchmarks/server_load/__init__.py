"""Load benchmark of the gRPC server; see README.md."""
