"""HTTP: the service's border. In come requests, out go answers and problems; nothing here decides about a model or a signal."""
