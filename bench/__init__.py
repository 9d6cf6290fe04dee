"""The benchmark: gitprov and its peers, side by side, in one run, on data made here."""
