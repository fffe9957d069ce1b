"""Which weights and channels go: criteria score, allocations share out, schedules time, structures pick."""
