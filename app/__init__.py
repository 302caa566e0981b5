"""The service: the API, the jobs, the commands and the contract with the worker. It never imports the worker."""
