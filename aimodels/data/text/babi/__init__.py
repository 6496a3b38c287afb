"""Stories and questions of the 20 kinds of bAbI (Weston et al. 2015), by our own generator."""
