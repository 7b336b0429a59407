"""Generated from `proto/` by `make proto`; the only modules besides server and clients that import gRPC."""
