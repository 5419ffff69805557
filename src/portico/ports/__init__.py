"""What portico needs from the outside world, in its own words. Adapters implement these."""
