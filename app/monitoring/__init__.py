"""What Prometheus reads at /metrics: counters of this process, and gauges from the rows."""
