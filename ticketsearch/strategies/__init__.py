"""The built-in strategies, one file each, written on public names only and registered like anyone's."""
