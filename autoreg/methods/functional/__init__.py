"""Mathematics that must subclass torch: imported when a trial needs it, never when methods are listed."""
