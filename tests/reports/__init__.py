"""Public reports about programs that do what Portico does, each as one small case.

The docstring of a test has its address; the test says what is right.
"""
