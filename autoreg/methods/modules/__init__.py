"""Modules, which must subclass torch: imported when a trial needs them, never when methods are listed."""
