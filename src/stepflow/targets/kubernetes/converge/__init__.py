"""From what is desired to what runs: compared, executed, waited for, removed."""
