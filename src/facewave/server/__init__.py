"""A gRPC server that speaks NVIDIA's Audio2Face-3D protocol for any provider."""
