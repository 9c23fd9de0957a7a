"""Standing beside the modules, this file puts them on pytest's path."""
