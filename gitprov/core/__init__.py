"""The ground floor: digests, Merkle trees, canonical JSON, names. Bytes in, bytes out, no I/O."""
