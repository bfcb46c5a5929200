"""One file a methodology: a configuration of the shapes in `keeper.margin.book`."""
