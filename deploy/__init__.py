"""What puts the keeper somewhere: the development network, images, units and dashboards."""
