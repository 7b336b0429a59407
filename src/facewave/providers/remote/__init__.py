"""Animation made elsewhere: clients for Audio2Face-3D services, in both generations of their protocol."""
