"""The contract between service and worker: configs, datasets, architectures, events and errors."""
