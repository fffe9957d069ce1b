"""Pure functions of tensors: imported when a trial needs them, never when methods are listed."""
