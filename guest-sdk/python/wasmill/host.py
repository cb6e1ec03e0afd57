"""The host: what `wasmill.component` makes of the component's imports, or the host in memory of `wasmill.testing`."""

imports = None
