"""Tests of autoreg.tasks."""
