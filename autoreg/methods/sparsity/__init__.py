"""Which weights, channels and ranks go: criteria score, allocations share out, schedules time, structures pick."""
