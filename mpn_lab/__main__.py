"""`python -m mpn_lab` is `mpn-lab`."""

from mpn_lab.cli import main

if __name__ == "__main__":
    main()
