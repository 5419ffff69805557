"""Portico: a web program on all cores, behind nginx, on HTTPS, from one file."""

__version__ = "0.1.0"
