"""Images that stand in for the official ones where no registry is: the same names and contracts, the real servers inside."""
