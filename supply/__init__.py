"""What the project ships and depends on: a scan for secrets, the locks, and the images' bills of materials.

Programs of development, which `make check` and `make sbom` start; nothing of them is part of tidegate's package. docs/supply-chain.md tells how they are used.
"""
