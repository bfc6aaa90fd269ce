"""How much disk, how many partitions: from hosts and actions a second, by measured bytes (`measured.toml`)."""
