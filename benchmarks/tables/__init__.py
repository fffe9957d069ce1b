"""Tables of finished trials, the arms that search them and the measures by which arms are compared."""
