"""Leave to go live: the check, the dry run, and the record a live start asks for."""
